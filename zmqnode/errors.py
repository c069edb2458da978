"""Every error a caller can meet, by who has to act on it.

The tree follows the exit codes of the command line (a script reads the code, a person the message):
each class has one exit code, each error one machine-readable ``code`` from the documented list.
Secrets never belong in ``message``, ``hint`` or ``details``.
"""

from __future__ import annotations

from typing import ClassVar


class ZmqnodeError(Exception):
    """Base of all errors meant for callers.

    Args:
        code: one of the documented codes, for example ``"unreachable"``.
        message: one sentence, what went wrong and where.
        hint: one sentence, what to do next; may be empty.
        details: the offending values, ready for JSON.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, hint: str = "", **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details: dict[str, object] = dict(details)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.message, self.hint, self.details))

    def to_json(self) -> dict[str, object]:
        """The object of the ``error`` key: code, message, hint, details."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }


class Refused(ZmqnodeError):
    """A check failed or the node said no; nothing is under way."""

    exit_code = 1


class Invalid(ZmqnodeError):
    """What the caller gave cannot be used: usage, config, key or file."""

    exit_code = 2


class Unreachable(ZmqnodeError):
    """Nothing was sent: nobody there, another key, or no answer to the handshake."""

    exit_code = 3


class Undecided(ZmqnodeError):
    """Sent, but without a final answer; asking again is safe."""

    exit_code = 4


class TimedOut(ZmqnodeError):
    """A condition was not met in time."""

    exit_code = 5


class Broken(ZmqnodeError):
    """The node stopped itself for safety; details hold ``cause`` and ``way_out``."""

    exit_code = 10


class Damaged(Broken):
    """Storage that cannot be trusted any more: a failed sync, a record damaged in the middle."""

    def __init__(self, message: str, *, hint: str = "", **details: object) -> None:
        super().__init__("broken", message, hint=hint, **details)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_damaged, (self.message, self.hint, self.details))


class Malformed(ValueError):
    """Bytes from outside that have no single reading; always the remote side's fault."""


BY_EXIT_CODE: dict[int, type[ZmqnodeError]] = {
    cls.exit_code: cls for cls in (Refused, Invalid, Unreachable, Undecided, TimedOut, Broken)
}


def from_json(error: dict[str, object], exit_code: int) -> ZmqnodeError:
    """The error a node sent, as the exception of its exit code (``Refused`` when unknown)."""
    details = error.get("details")
    known = {str(k): v for k, v in details.items()} if isinstance(details, dict) else {}
    cls = BY_EXIT_CODE.get(exit_code, Refused)
    built = cls(
        str(error.get("code", "")),
        str(error.get("message", "")),
        hint=str(error.get("hint", "")),
    )
    built.details = known
    return built


def _rebuild(
    cls: type[ZmqnodeError], code: str, message: str, hint: str, details: dict[str, object]
) -> ZmqnodeError:
    built = cls(code, message, hint=hint)
    built.details = details
    return built


def _rebuild_damaged(message: str, hint: str, details: dict[str, object]) -> Damaged:
    built = Damaged(message, hint=hint)
    built.details = details
    return built
