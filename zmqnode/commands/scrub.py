"""Keep the secrets of a node's folder out of what is given away: known ones in every form.

Whatever looks like a private key is hidden anyway (``config.secret.redact``). Here the keys that
this folder holds are known, so that they are found also where they do not look like one: as hex,
as base64, as the CURVE secret made of them, within a longer word, or cut in two.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from zmqnode.base.keys import PRIVATE_SUFFIX, PrivateKey, base58_decode, parse_private
from zmqnode.config import Config
from zmqnode.config.limits import SECRET_BYTES_MAX
from zmqnode.config.secret import HIDDEN, redact
from zmqnode.errors import ZmqnodeError

FRAGMENT_CHARS: Final = 12  # A piece of a secret as long as this is hidden; in hex, six bytes.
FILES_LOOKED_AT_MAX: Final = 2_000
KEY_FILES: Final = "*.key*"


class Scrub:
    """Hides certain keys in texts."""

    def __init__(self, keys: Iterable[PrivateKey]) -> None:
        self._fragments = tuple(
            dict.fromkeys(
                form[at : at + FRAGMENT_CHARS]
                for key in keys
                for form in forms(key)
                for at in range(len(form) - FRAGMENT_CHARS + 1)
            )
        )

    def clean(self, text: str) -> str:
        """The text without any of the keys, whole or in part."""
        text = redact(text)
        for fragment in self._fragments:
            if fragment in text:
                text = text.replace(fragment, HIDDEN)
        return text


def forms(key: PrivateKey) -> tuple[str, ...]:
    """Texts that give a key away: its own, its seed and its CURVE secret in hex and base64."""
    plain = key.text().removesuffix(PRIVATE_SUFFIX)
    seed = base58_decode(plain)[1:33]
    found = [plain]
    for raw in (seed, key.curve_secret()):
        for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
            found.append(encoded.decode().rstrip("="))
        found += [raw.hex(), raw.hex().upper()]
    return tuple(found)


def keys_of(config: Config) -> tuple[PrivateKey, ...]:
    """Every key a node's folder holds or names, and those beside it; unreadable ones are no secret.

    Standard input is not read: nothing of it is in the folder.
    """
    found: dict[PrivateKey, None] = {}
    for folder in dict.fromkeys((config.data, config.file.parent, config.file.parent.parent)):
        for file in _key_files(folder):
            found.update(dict.fromkeys(_keys_in(file)))
    if config.privatekey.kind != "stdin":
        with contextlib.suppress(ZmqnodeError):
            found[config.privatekey.key()] = None
    return tuple(found)


def _key_files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(KEY_FILES))[:FILES_LOOKED_AT_MAX]
    except OSError:
        return []


def _keys_in(file: Path) -> list[PrivateKey]:
    """The keys in a key file, whatever its mode."""
    try:
        if not file.is_file() or file.stat().st_size > SECRET_BYTES_MAX:
            return []
        words = file.read_text(errors="replace").split()
    except OSError:
        return []
    found = []
    for word in words:
        try:
            found.append(parse_private(word))
        except ZmqnodeError:
            continue
    return found
