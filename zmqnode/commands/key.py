"""``zmqnode key``: make keys, show their public half, sign and verify files.

A file's signature covers a domain tag and the file's hash, as every signature of the system covers
its own tag: nobody can be brought to sign a vote or a handover by being handed a file.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from zmqnode.commands import terminal
from zmqnode.commands.options import JsonOption, parse_sign
from zmqnode.errors import Invalid, Refused

if TYPE_CHECKING:
    from zmqnode.base.keys import PublicKey

app = typer.Typer()

TAG: Final = "file"
CHUNK_BYTES: Final = 1024 * 1024

RefArgument = Annotated[
    str,
    typer.Argument(metavar="REF", help="file:PATH, env:NAME, cred:NAME or -.", parser=parse_sign),
]
FileArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="What is signed; without it, stdin.")
]


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new key file, mode 600.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key; the file is never overwritten."""
    from zmqnode.base.keys import PrivateKey
    from zmqnode.config.secret import write_secret_file

    key = PrivateKey(os.urandom(32))
    try:
        write_secret_file(file, key.text())
    except FileExistsError:
        hint = "keys are never overwritten; take another name"
        text = f"there is a file {file}"
        if file.is_dir():
            text, hint = f"{file} is a folder", "name a file in it"
        raise Refused("already_exists", text, hint=hint, file=str(file)) from None
    _show(key.public, as_json=as_json)


@app.command()
def show(ref: RefArgument, as_json: JsonOption = False) -> None:
    """Show the public key of a private key."""
    from zmqnode.config.secret import parse_secret

    _show(parse_secret(ref).key().public, as_json=as_json)


@app.command()
def sign(ref: RefArgument, file: FileArgument = None, as_json: JsonOption = False) -> None:
    """Sign a file."""
    from zmqnode.base.keys import public_text
    from zmqnode.config.secret import parse_secret

    if ref == "-" and file is None:
        message = "stdin cannot be both the key and what is signed"
        raise Invalid("usage", message, hint="give a FILE")
    key = parse_secret(ref).key()
    signature = key.sign(_covered(file))
    answer = {"publickey": public_text(key.public), "signature": signature.hex()}
    terminal.show(answer, as_json=as_json)


@app.command("verify")
def check(
    publickey: Annotated[str, typer.Argument(metavar="PUBLICKEY")],
    signature: Annotated[str, typer.Argument(metavar="SIGNATURE", help="128 hex digits.")],
    file: FileArgument = None,
    as_json: JsonOption = False,
) -> None:
    """Check a file's signature; exit 1 if it is not good."""
    from zmqnode.base.keys import parse_public, verify

    public = parse_public(publickey)
    try:
        raw = bytes.fromhex(signature)
    except ValueError:
        raise Invalid("usage", "the signature is no hex text", hint="128 hex digits") from None
    terminal.show({"ok": verify(public, _covered(file), raw)}, as_json=as_json)


def _show(public: PublicKey, *, as_json: bool) -> None:
    from zmqnode.base.keys import public_text

    terminal.show({"publickey": public_text(public)}, as_json=as_json)


def _covered(file: Path | None) -> bytes:
    """The bytes a file's signature covers: of no chain, so network-id empty, genesis zeros."""
    from zmqnode.base.signing import Domain

    if file is None:
        digest = _digest(sys.stdin.buffer)
    else:
        try:
            with file.open("rb") as stream:
                digest = _digest(stream)
        except OSError as error:
            text = f"cannot read {file}: {error.strerror}"
            raise Invalid("file_missing", text, file=str(file)) from None
    return Domain(network_id="").message(TAG, digest)


def _digest(stream: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()
