"""YAML that means one thing: a strict reading on top of PyYAML's composer, with a place for every
finding.

YAML 1.1 turns ``no`` into false, ``1_0`` into ten and ``12:30`` into 750. Here PyYAML only builds
the tree; what a scalar means is decided by the type the schema expects there (``schema``), so
``network-id: no`` is the text ``no``. Duplicate keys, aliases, tags, several documents and trees
beyond the bounds are refused before the tree is built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import yaml

from zmqnode.config.limits import CONFIG_DEPTH_MAX, CONFIG_NODES_MAX, FINDINGS_MAX
from zmqnode.config.secret import redact
from zmqnode.errors import Invalid

Node = yaml.ScalarNode | yaml.SequenceNode | yaml.MappingNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault of a file: where, at which dotted path, what, and what was probably meant."""

    file: str
    line: int  # From 1.
    column: int  # From 1.
    path: str  # ``network.url``, ``entries[2].address``; empty for the whole file.
    message: str
    suggestion: str | None = None

    def json(self) -> dict[str, object]:
        """The object of ``config check``."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "suggestion": self.suggestion,
        }

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        said = f"{self.path}: {self.message}" if self.path else self.message
        return where + said + (f" (did you mean {self.suggestion}?)" if self.suggestion else "")


@dataclass(slots=True, kw_only=True)
class Document:
    """A file being read: its tree, and what is wrong with it so far."""

    file: str
    findings: list[Finding] = field(default_factory=list)

    def add(
        self, mark: yaml.Mark | None, path: str, message: str, suggestion: str | None = None
    ) -> None:
        """Notes a fault; beyond ``FINDINGS_MAX`` no more are kept."""
        if len(self.findings) < FINDINGS_MAX:
            line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
            self.findings.append(
                Finding(
                    file=self.file,
                    line=line,
                    column=column,
                    path=redact(path),
                    message=redact(message),
                    suggestion=suggestion,
                )
            )

    def refuse(self) -> None:
        """Raises :meth:`refusal` if there is a finding."""
        if self.findings:
            raise self.refusal()

    def refusal(self) -> Invalid:
        """``config_invalid`` with all findings; the first one, by line, is the message."""
        found = sorted(self.findings, key=lambda finding: (finding.line, finding.column))
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return Invalid(
            "config_invalid",
            f"{found[0]}{more}",
            hint=f"zmqnode config check {self.file}",
            findings=[finding.json() for finding in found],
        )


def read_text(path: Path, bytes_max: int) -> str:
    """A text file, whole.

    Raises:
        Invalid: ``file_missing``; ``config_invalid`` when it is too large or no UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except FileNotFoundError:
        raise Invalid("file_missing", f"there is no file {path}", file=str(path)) from None
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise Invalid("file_missing", message, file=str(path)) from None
    document = Document(file=str(path))
    if len(data) > bytes_max:
        document.add(None, "", f"the file is larger than {bytes_max} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start)
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1)
        mark = yaml.Mark(str(path), error.start, line, column, None, 0)
        document.add(mark, "", "this is no UTF-8 text")
        text = ""
    document.refuse()
    return text


def compose(document: Document, text: str) -> yaml.MappingNode:
    """The tree of a text that is a map.

    Raises:
        Invalid: ``config_invalid``, it has none; the reason is among the findings.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader) if _bounded(document, text) else None
    except yaml.MarkedYAMLError as error:
        # PyYAML's problem text quotes at most single characters, never a value.
        mark = error.problem_mark
        document.add(mark, "", error.problem or "no YAML")
    except yaml.YAMLError:
        document.add(None, "", "there are characters in it that YAML does not allow")
    else:
        if isinstance(root, yaml.MappingNode):
            return root
        if not document.findings:
            message = "the file must be a map of keys and values" if text else "the file is empty"
            document.add(None if root is None else root.start_mark, "", message)
    raise document.refusal()


def _bounded(document: Document, text: str) -> bool:
    """Whether the text keeps to the plain part of YAML and to the bounds; reads events only."""
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = cast(yaml.Mark, event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
                document.add(mark, "", "anchors and aliases (& and *) are not allowed here")
                return False
            if getattr(event, "tag", None) is not None:
                document.add(mark, "", "tags (!) are not allowed here")
                return False
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > CONFIG_DEPTH_MAX or nodes > CONFIG_NODES_MAX or documents > 1:
            document.add(mark, "", "the file is too deep, too long or more than one document")
            return False
    return True


def entries(
    document: Document, node: yaml.MappingNode, path: str
) -> list[tuple[str, yaml.ScalarNode, Node]]:
    """The key texts of a map with their nodes, in order; duplicates and odd keys are findings."""
    found: list[tuple[str, yaml.ScalarNode, Node]] = []
    seen: dict[str, yaml.Mark] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            document.add(key.start_mark, path, "a key must be plain text")
        elif key.value in seen:
            line = seen[key.value].line + 1
            message = f"the key stands here twice (first in line {line})"
            document.add(key.start_mark, join(path, key.value), message)
        else:
            seen[key.value] = key.start_mark
            found.append((key.value, key, value))
    return found


def join(path: str, key: str) -> str:
    """The dotted path of a key below a path; what is no key of a config does not enter it."""
    shown = key if len(key) <= 40 and key.isprintable() else "(key)"
    return f"{path}.{shown}" if path else shown
