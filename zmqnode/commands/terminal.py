"""The one place that writes to the terminal and decides exit codes.

Answers go to stdout, as text for people or one JSON object a line with ``"v": 1`` first; everything
else goes to stderr. A command computes, then calls :func:`show`; it raises errors of
``zmqnode.errors`` and never prints them. A file that the system refuses is an error like these.
What else would escape :func:`run` is a bug: it is written to a report file, and the person sees one
line that names it.
"""

from __future__ import annotations

import base64
import enum
import errno
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import typer

from zmqnode.errors import Invalid, ZmqnodeError

if TYPE_CHECKING:
    from rich.console import RenderableType

VERSION: Final = 1  # Of every JSON object printed.
EXIT_USAGE: Final = 2
EXIT_BUG: Final = 70
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143
PLAIN_COLUMNS: Final = 160  # Of tables where stdout is no terminal.
REPORT_FRAMES_MAX: Final = 200

# Of a file even where the system names none: no room, or a current folder that is gone.
_NAMELESS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOENT})
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Answer(Protocol):
    """A client's answer: a frozen value with the JSON object it stands for."""

    def json(self) -> dict[str, Any]:
        """The object, without ``v``."""
        ...  # pragma: no cover


Shown = Mapping[str, Any] | Answer


class _Full(Invalid):
    """The answer found no room on stdout, and an error would find none there either."""

    def __init__(self, error: OSError) -> None:
        hint = "make room, or let the output go elsewhere"
        super().__init__("file_missing", f"cannot write the answer: {error.strerror}", hint=hint)


def show(
    answer: Shown,
    *,
    as_panel: Callable[[Any], RenderableType] | None = None,
    as_json: bool = False,
    failed: int = 1,
) -> None:
    """Prints a command's answer; an answer with ``"ok": false`` also ends the command.

    Args:
        answer: the JSON object of the contract (without ``v``), or a value with ``json()``.
        as_panel: draws it for a person; without one a plain table of its keys is drawn.
        as_json: one line of JSON instead.
        failed: the exit code of ``ok`` false.
    """
    values = plain(answer)
    if as_json:
        write(sys.stdout, json_line(values))
    else:
        _draw(answer if as_panel is not None else values, as_panel)
    if values.get("ok") is False:
        raise typer.Exit(failed)


def line(text: str) -> None:
    """One line of a text answer on stdout, made safe to print."""
    write(sys.stdout, clean(text) + "\n")


def note(text: str) -> None:
    """Progress and remarks, on stderr."""
    write(sys.stderr, clean(text) + "\n")


def warn(text: str) -> None:
    """A warning, one line on stderr."""
    write(sys.stderr, f"{_paint('warning:', '33')} {clean(text)}\n")


def json_line(values: Mapping[str, Any]) -> str:
    """One object on one line, ``v`` first; bytes as base64, ASCII only."""
    return json.dumps({"v": VERSION, **values}, default=_jsonable, separators=(",", ":")) + "\n"


def plain(answer: Shown) -> dict[str, Any]:
    """The object of an answer, without ``v``."""
    values = dict(answer) if isinstance(answer, Mapping) else dict(answer.json())
    values.pop("v", None)
    return values


def clean(text: str) -> str:
    """The text with control and direction characters made visible: it may come from strangers."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def write(stream: IO[str], text: str) -> None:
    """Writes and flushes; a reader that left has enough, and the command ends with exit 0.

    Whether anybody hears what goes to stderr changes nothing: the command goes on.

    Raises:
        Invalid: ``file_missing``, the answer found no room.
    """
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()
    except OSError as error:
        _give_up(stream)
        if stream is sys.stderr:
            return
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(0) from None
        raise _Full(error) from None


def _give_up(stream: IO[str]) -> None:
    """What is still buffered goes nowhere: Python would complain when it flushes at exit."""
    with suppress(OSError, ValueError):  # No file at all, or closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def detaching(watch: str) -> Iterator[None]:
    """Around a wait: Ctrl-C ends the command alone, and says how to go on with what it began.

    Args:
        watch: how to watch and stop that, for the hint line.
    """
    try:
        yield
    except KeyboardInterrupt:
        note(f"detached; if a handover was begun, it goes on: {watch}")
        raise


@contextmanager
def streaming() -> Iterator[None]:
    """Around a stream or the monitor: Ctrl-C is its proper end, exit 0."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def run(command: Callable[[], int], words: Sequence[str]) -> int:
    """Runs a command and turns everything that can happen into streams and an exit code.

    Args:
        command: does it; returns the exit code.
        words: the command line, for the report of a bug and for ``--json``.
    """
    _fill_closed_streams()
    as_json = "--json" in (words[: words.index("--")] if "--" in words else words)
    with suppress(ValueError):  # Not in the main thread: somebody else's process.
        signal.signal(signal.SIGTERM, _terminated)
    try:
        return command()
    except ZmqnodeError as error:
        fail(error, as_json=as_json and not isinstance(error, _Full))
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error)
    except typer.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001  # The last handler: a bug is told, not traced.
        if isinstance(error, OSError) and (error.filename or error.errno in _NAMELESS):
            wrong = _file_error(error)
            if error.errno == errno.ENOSPC and error.filename is None:
                _give_up(sys.stdout)  # The parser wrote there itself: a help text.
            fail(wrong, as_json=as_json)
            return wrong.exit_code
        return _bug(error, words, as_json=as_json)


def _fill_closed_streams() -> None:
    """Where whoever started this closed a stream, nothing is read and nothing comes of writing."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null, "r" if name == "stdin" else "w", encoding="utf-8"))


def fail(error: ZmqnodeError, *, as_json: bool) -> None:
    """Prints an error: on stdout as JSON, or on stderr in two lines; a key in it is hidden."""
    from zmqnode.config.secret import redact

    if as_json:
        try:
            write(sys.stdout, redact(json_line({"error": error.to_json()})))
        except _Full:
            pass  # stdout takes nothing; stderr may.
        else:
            return
    message, code, hint = (redact(clean(one)) for one in (error.message, error.code, error.hint))
    write(sys.stderr, f"{_paint('error:', '31')} {message} [{code}]\n")
    if hint:
        write(sys.stderr, f"hint: {hint}\n")


def _file_error(error: OSError) -> Invalid:
    """What the system says of a file that a person named, or of the place for the answer."""
    if error.errno == errno.ENOENT and error.filename is None:
        return Invalid("file_missing", "the current folder is gone", hint="cd to one that is there")
    if error.filename is None:
        hint = "make room, or let the output go elsewhere"
        return Invalid("file_missing", f"cannot write: {error.strerror}", hint=hint)
    name = os.fsdecode(error.filename) if not isinstance(error.filename, int) else "a file"
    return Invalid("file_missing", f"cannot use {name}: {error.strerror}", file=name)


def _usage(error: typer.TyperException) -> int:
    """What the parser refused: always plain text."""
    # "Value error" is what pydantic, under newer versions of Typer, says before a message of ours.
    message = error.format_message().replace("Value error, ", "", 1).strip().rstrip(".")
    context = getattr(error, "ctx", None)
    hint = f"{getattr(context, 'command_path', 'zmqnode')} --help"
    fail(Invalid("usage", message, hint=hint), as_json=False)
    return EXIT_USAGE


def _bug(error: Exception, words: Sequence[str], *, as_json: bool) -> int:
    report = str(_report(error, words))
    wrapped = ZmqnodeError(
        "bug",
        f"this is a bug in zmqnode ({type(error).__name__}); the report is {report}",
        hint="please send that file to the maintainers; it holds no keys",
        report=report,
    )
    fail(wrapped, as_json=as_json)
    return EXIT_BUG


def _report(error: Exception, words: Sequence[str]) -> Path:
    """Writes the traceback, without local variables and with everything key-like left out."""
    import platform
    import tempfile
    import traceback

    from zmqnode import __version__
    from zmqnode.config.secret import redact

    trace = traceback.TracebackException.from_exception(error, limit=REPORT_FRAMES_MAX)
    lines = [
        f"zmqnode {__version__}, Python {platform.python_version()}, {platform.platform()}\n",
        f"zmqnode {' '.join(words)}\n\n",
        *trace.format(),
    ]
    name = time.strftime("zmqnode-bug-%Y%m%d-%H%M%S-")
    descriptor, path = tempfile.mkstemp(prefix=name, suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(redact("".join(lines)))
    return Path(path)


def _terminated(_signal: int, _frame: object) -> None:
    # As an exception, so that what a command holds (processes, temporary folders) is cleaned up.
    raise SystemExit(EXIT_TERMINATED)


def _draw(answer: Any, as_panel: Callable[[Any], RenderableType] | None) -> None:
    from rich.console import Console
    from rich.text import Text

    from zmqnode.commands import view

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    console = Console(
        width=PLAIN_COLUMNS if wide else None, highlight=False, markup=False, emoji=False
    )
    drawn = (as_panel or view.plain)(answer)
    with console.capture() as capture:
        # Lines that programs read too (JSON, file:line:col) are the terminal's to wrap.
        console.print(drawn, soft_wrap=isinstance(drawn, Text))
    # Cells are padded to their column; a reader of lines has no use for that.
    lines = [one.rstrip() for one in capture.get().splitlines()]
    write(sys.stdout, "\n".join(lines) + "\n")


def _paint(word: str, colour: str) -> str:
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        return f"\x1b[{colour}m{word}\x1b[0m"
    return word


def _jsonable(value: object) -> object:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case enum.Enum():
            return value.value
        case Path():
            return str(value)
        case Mapping():
            return dict(value)
        case _ if hasattr(value, "json"):
            return value.json()
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")
