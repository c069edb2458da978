"""Secrets by reference: ``file:PATH``, ``env:NAME``, ``cred:NAME``, ``-`` (stdin), or the key
itself.

A reference can stand in a config, a shell history and a process list without harm. The key itself
(a literal, as on Mitum's page) works and earns one warning line. No message of this module holds a
secret: what is not a known form is not echoed, for it may be a key with a typing error.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zmqnode.base.keys import (
    PRIVATE_SUFFIX,
    PrivateKey,
    holds_private,
    looks_private,
    parse_private,
)
from zmqnode.config.limits import SECRET_BYTES_MAX
from zmqnode.errors import Invalid

KINDS: Final = ("file", "env", "cred")
CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
LITERAL_WARNING: Final = (
    "a private key stands here in plain text; keep it in a file closed to others: file:PATH"
)
HIDDEN: Final = "(a private key, not shown)"
_KEY_LIKE: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{20,}")
_FORMS: Final = "write file:PATH, env:NAME, cred:NAME or - (the first line of stdin)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secret:
    """A reference to a private key; reading it is a separate act, so a config can be shown."""

    kind: str  # file env cred stdin literal
    name: str  # The path, the name, or the key itself.
    folder: Path  # Relative paths start here.

    @property
    def shown(self) -> str:
        """The reference as it was written; never a key."""
        match self.kind:
            case "literal":
                return HIDDEN
            case "stdin":
                return "-"
            case _:
                return f"{self.kind}:{self.name}"

    @property
    def warning(self) -> str | None:
        """One line for the operator, or None."""
        return LITERAL_WARNING if self.kind == "literal" else None

    @property
    def path(self) -> Path:
        """Of a ``file:`` reference."""
        return self.folder / Path(self.name).expanduser()

    def key(self) -> PrivateKey:
        """Reads the secret.

        Raises:
            Invalid: ``key_invalid`` (unset, open to others, no key), ``file_missing``.
        """
        text = self._text()
        try:
            return parse_private(text)
        except Invalid as error:
            if self.kind == "literal":
                raise
            raise Invalid(
                "key_invalid", f"{self.shown}: {error.message}", hint=error.hint
            ) from None

    def _text(self) -> str:
        match self.kind:
            case "file":
                return read_secret_file(self.path)
            case "env":
                value = os.environ.get(self.name)
                if value is None:
                    raise _invalid(f"the environment variable {self.name} is not set")
                return value.strip()
            case "cred":
                folder = os.environ.get(CREDENTIALS_VARIABLE)
                if not folder:
                    hint = "systemd sets it for units with LoadCredential= or SetCredential="
                    raise _invalid(f"${CREDENTIALS_VARIABLE} is not set", hint)
                # Whoever made that folder decided who can read it.
                return read_secret_file(Path(folder) / self.name, closed=False)
            case "stdin":
                return sys.stdin.readline(SECRET_BYTES_MAX).strip()
            case _:
                return self.name

    def __repr__(self) -> str:
        return f"Secret({self.shown})"


def parse_secret(text: str, folder: Path | None = None) -> Secret:
    """The reference a text is; nothing is read yet.

    Raises:
        Invalid: ``key_invalid``; the text is not echoed.
    """
    folder = Path() if folder is None else folder
    text = text.strip()
    if text == "-":
        return Secret(kind="stdin", name="", folder=folder)
    kind, colon, name = text.partition(":")
    if colon and kind in KINDS:
        if not name or looks_private(name):
            raise _invalid(f"{kind}: has no name after it, or a key")
        if kind == "cred" and ("/" in name or name in (".", "..")):
            raise _invalid("the name of a credential is no path")
        return Secret(kind=kind, name=name, folder=folder)
    if looks_private(text):
        return Secret(kind="literal", name=text, folder=folder)
    if "/" in text or text.endswith(".key"):
        raise _invalid("this looks like a path", "write file: in front of it")
    raise _invalid(
        f"this is neither a reference nor a private key (which ends in {PRIVATE_SUFFIX})"
    )


def read_secret_file(path: Path, *, closed: bool = True) -> str:
    """The first line of a small file.

    Args:
        path: the file; links are followed, the target's mode counts.
        closed: whether the file must be closed to group and others.
    Raises:
        Invalid: ``file_missing``, ``key_invalid``.
    """
    try:
        # Not blocking: somebody may have put a pipe there.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Invalid("file_missing", f"there is no key file {path}", file=str(path)) from None
    except OSError as error:
        raise _invalid(f"cannot read the key file {path}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _invalid(f"{path} is no regular file")
        if closed and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = f"{stat.S_IMODE(status.st_mode):03o}"
            hint = f"chmod 600 {path}"
            raise _invalid(f"the key file {path} is open to others (mode {mode})", hint)
        data = os.read(descriptor, SECRET_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if len(data) > SECRET_BYTES_MAX or not text.strip():
        raise _invalid(f"{path} is no key file")
    return text.strip().splitlines()[0].strip()


def redact(text: str) -> str:
    """The text with every private key in it replaced; for messages that quote what was given."""
    return _KEY_LIKE.sub(lambda found: HIDDEN if holds_private(found[0]) else found[0], text)


def write_secret_file(path: Path, text: str) -> None:
    """A new file of mode 600 with the text and a newline, on disk when this returns.

    Raises:
        Invalid: ``file_missing`` if the folder is not there.
        Refused: never; an existing file raises FileExistsError, for the caller to name.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        raise Invalid("file_missing", f"there is no folder {path.parent}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _invalid(message: str, hint: str = _FORMS) -> Invalid:
    return Invalid("key_invalid", message, hint=hint)
