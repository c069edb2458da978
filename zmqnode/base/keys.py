"""Keys, addresses and their texts.

A private key text is base58check WIF (0x80, the 32-byte secret, 0x01, four bytes of double
SHA-256) followed by ``mpr``; the 32 bytes are the Ed25519 seed. A public key text is base58 of the
32 bytes and the first four of their double SHA-256, followed by ``mpu``. Identity, instance and
sender keys share both forms.

One signature library only (PyNaCl): two that disagree on odd encodings could fork a chain.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, NewType

import nacl.bindings
import nacl.exceptions

from zmqnode.errors import Invalid

Address = NewType("Address", str)
PublicKey = NewType("PublicKey", bytes)
Signature = NewType("Signature", bytes)

PRIVATE_SUFFIX: Final = "mpr"
PUBLIC_SUFFIX: Final = "mpu"
ADDRESS_SUFFIX: Final = "sas"
ADDRESS_MAX_CHARS: Final = 64
KEY_TEXT_MAX_CHARS: Final = 128
WIF_CHARS: Final = 52
LOOKED_AT_CHARS: Final = 1024  # How far into a text a private key is looked for.
PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_ADDRESS: Final = re.compile(
    rf"[A-Za-z0-9_-]{{1,{ADDRESS_MAX_CHARS - len(ADDRESS_SUFFIX)}}}{ADDRESS_SUFFIX}"
)

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# What 0x80, 33 bytes and a checksum look like in base58; at every offset, as in a longer word.
_WIF: Final = re.compile(rf"(?=([KL][{_ALPHABET}]{{{WIF_CHARS - 1}}}))")
_DIGITS: Final = {char: value for value, char in enumerate(_ALPHABET)}


def base58_encode(data: bytes) -> str:
    """Base58 with Bitcoin's alphabet; each leading zero byte becomes a ``1``."""
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + text


def base58_decode(text: str) -> bytes:
    """The bytes of a base58 text; raises ValueError for a character outside the alphabet."""
    number = 0
    for char in text:
        if char not in _DIGITS:
            raise ValueError("not base58")
        number = number * 58 + _DIGITS[char]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]


class PrivateKey:
    """An Ed25519 signing key; its secret never shows in repr, str or pickles."""

    __slots__ = ("_secret", "_seed", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise ValueError("an Ed25519 seed has 32 bytes")
        public, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self._seed = seed
        self._secret = secret
        self.public = PublicKey(public)

    def sign(self, data: bytes) -> Signature:
        """The 64-byte Ed25519 signature of ``data``."""
        return Signature(nacl.bindings.crypto_sign(data, self._secret)[:SIGNATURE_BYTES])

    def text(self) -> str:
        """The private key text (``..mpr``); for key files only."""
        payload = b"\x80" + self._seed + b"\x01"
        return base58_encode(payload + _checksum(payload)) + PRIVATE_SUFFIX

    def curve_secret(self) -> bytes:
        """The 32-byte X25519 secret that belongs to :func:`curve_public` of the public key."""
        return nacl.bindings.crypto_sign_ed25519_sk_to_curve25519(self._secret)

    def __repr__(self) -> str:
        return f"PrivateKey(public={public_text(self.public)})"

    def __reduce__(self) -> str:
        raise TypeError("private keys are not pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)


def parse_private(text: str) -> PrivateKey:
    """The key of a private key text; raises Invalid ``key_invalid`` and never echoes the text."""
    hint = "a private key is base58check text that ends in mpr, as `zmqnode key new` writes it"
    if not text.endswith(PRIVATE_SUFFIX):
        if looks_public(text):
            raise Invalid(
                "key_invalid", "a public key stands where a private key belongs", hint=hint
            )
        raise Invalid("key_invalid", "not a private key text", hint=hint)
    try:
        if len(text) > KEY_TEXT_MAX_CHARS:
            raise ValueError("too long")
        raw = base58_decode(text[: -len(PRIVATE_SUFFIX)])
    except ValueError:
        raise Invalid("key_invalid", "the private key text is no base58", hint=hint) from None
    if len(raw) != 38 or raw[0] != 0x80 or raw[33] != 0x01:
        raise Invalid("key_invalid", "the private key text has the wrong form", hint=hint)
    if _checksum(raw[:34]) != raw[34:]:
        raise Invalid("key_invalid", "the private key text has a typing error", hint=hint)
    return PrivateKey(raw[1:33])


def parse_public(text: str) -> PublicKey:
    """The key of a public key text; raises Invalid ``key_invalid``, also for no point of a key.

    A private key given here by mistake is recognised, refused and not echoed.
    """
    hint = "a public key is base58 text that ends in mpu, as `zmqnode key show` prints it"
    if looks_private(text):
        message = "a private key stands where a public key belongs (it is not shown here)"
        raise Invalid("key_invalid", message, hint=hint)
    if not text.endswith(PUBLIC_SUFFIX):
        raise Invalid("key_invalid", "not a public key text", hint=hint)
    try:
        if len(text) > KEY_TEXT_MAX_CHARS:
            raise ValueError("too long")
        raw = base58_decode(text[: -len(PUBLIC_SUFFIX)])
    except ValueError:
        raise Invalid("key_invalid", "the public key text is no base58", hint=hint) from None
    if len(raw) != 36 or _checksum(raw[:32]) != raw[32:]:
        raise Invalid("key_invalid", "the public key text has a typing error", hint=hint)
    public = PublicKey(raw[:32])
    curve_public(public)
    return public


def looks_private(text: str) -> bool:
    """Whether a text has the suffix of a private key, or is the WIF part of one."""
    plain = text.strip()
    return plain.endswith(PRIVATE_SUFFIX) or (len(plain) == WIF_CHARS and _is_wif(plain))


def holds_private(text: str) -> bool:
    """Whether a private key stands anywhere in the first 1024 characters; do not echo it then."""
    windows = _WIF.finditer(text[:LOOKED_AT_CHARS])
    return looks_private(text) or any(_is_wif(found[1]) for found in windows)


def _is_wif(text: str) -> bool:
    try:
        raw = base58_decode(text)
    except ValueError:
        return False
    return len(raw) == 38 and raw[0] == 0x80 and _checksum(raw[:34]) == raw[34:]


def looks_public(text: str) -> bool:
    """Whether a text has the suffix of a public key."""
    return text.strip().endswith(PUBLIC_SUFFIX)


def public_text(public: bytes) -> str:
    """The public key text (``..mpu``) of 32 bytes."""
    return base58_encode(public + _checksum(public)) + PUBLIC_SUFFIX


def verify(public: bytes, data: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (64 bytes) is the key's (32 bytes) Ed25519 signature of ``data``.

    Strict, as libsodium is: False for an S of the group's order or more, and for a key of small
    order or of a second encoding; so nobody but the key's holder can make a second signature.
    """
    # The binding hands the key over without its length: a short one would be read beyond its end.
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + data, public)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def curve_public(public: bytes) -> bytes:
    """The 32-byte X25519 form of an Ed25519 public key.

    Raises:
        Invalid: ``key_invalid``, for bytes off the curve or of small order.
    """
    try:
        return nacl.bindings.crypto_sign_ed25519_pk_to_curve25519(public)
    except (nacl.exceptions.CryptoError, nacl.exceptions.TypeError, ValueError):
        raise Invalid(
            "key_invalid",
            f"the public key {public_text(public)} is no point a key can have",
            hint="take the text that `zmqnode key show` prints",
        ) from None


def is_address(text: str) -> bool:
    """Whether a text is 1 to 61 letters, digits, ``-`` or ``_`` and then ``sas``."""
    return _ADDRESS.fullmatch(text) is not None


def parse_address(text: str) -> Address:
    """A member's name, as :func:`is_address` wants it.

    Raises:
        Invalid: ``config_invalid``.
    """
    secret = holds_private(text)
    if secret or not is_address(text):
        shown = "(a private key, not shown)" if secret else repr(text[:80])
        raise Invalid(
            "config_invalid",
            f"{shown} is no address",
            hint="an address is letters, digits, - and _ and ends in sas, for example n0sas",
        )
    return Address(text)
