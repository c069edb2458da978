"""The reference pages, made from the code as Markdown; needs no Sphinx."""

from __future__ import annotations

import asyncio
import inspect

import typer

from zmqnode.commands.main import NAME, WORDS, build
from zmqnode.config.node import NODE
from zmqnode.config.schema import flat
from zmqnode.errors import BY_EXIT_CODE, HINTS
from zmqnode.runtime.metering import Meter


def commands() -> str:
    """Every command with the help that the program prints."""
    root = typer.main.get_command(build(None))
    parts: list[str] = []

    def walk(command, context, words) -> None:
        below = getattr(command, "commands", None)
        if below:
            for name in sorted(below):
                if below[name].hidden:
                    continue
                inner = type(context)(below[name], info_name=name, parent=context)
                walk(below[name], inner, [*words, name])
            return
        parts.append(f"## {' '.join(words[1:])}\n\n```text\n{command.get_help(context)}\n```\n")

    walk(root, root.context_class(root, info_name=NAME, terminal_width=100), [NAME])
    known = {word.name for word in WORDS}
    assert known <= {part.split()[1] for part in parts}
    return "\n".join(parts)


def errors() -> str:
    """Exit codes by class, then every code with its hint."""
    rows = ["| exit | class | meaning |", "|---|---|---|", "| 0 | | done |"]
    for code, cls in sorted(BY_EXIT_CODE.items()):
        told = inspect.cleandoc(cls.__doc__ or "").splitlines()[0]
        rows.append(f"| {code} | `{cls.__name__}` | {told} |")
    rows += ["", "| code | hint, unless the place of the error knows better |", "|---|---|"]
    rows += [f"| `{code}` | {_cell(hint)} |" for code, hint in HINTS.items()]
    return "\n".join(rows)


def config() -> str:
    """Every key of node.yml."""
    rows = ["| key | kind | default | meaning |", "|---|---|---|---|"]
    for key, one in flat(NODE).items():
        default = "required" if one.required else "" if one.default is None else str(one.default)
        choices = f" ({', '.join(one.choices)})" if one.choices else ""
        rows.append(f"| `{key}` | {one.kind}{choices} | {_cell(default)} | {_cell(one.doc)} |")
    return "\n".join(rows)


def metrics() -> str:
    """Every family of metrics."""
    loop = asyncio.new_event_loop()
    try:
        families = Meter(loop).registry.families
    finally:
        loop.close()
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for one in families:
        labels = ", ".join(one.labels)
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {_cell(one.doc)} |")
    return "\n".join(rows)


PAGES = {"commands": commands, "errors": errors, "config": config, "metrics": metrics}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
