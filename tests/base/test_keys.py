"""Keys, their texts, what leaks of them, and how strict signatures are."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import pickle
import time
from collections.abc import Callable

import nacl.bindings as sodium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqnode.base.keys import (
    Address,
    PrivateKey,
    base58_decode,
    base58_encode,
    curve_public,
    holds_private,
    is_address,
    looks_private,
    looks_public,
    parse_address,
    parse_private,
    parse_public,
    public_text,
    verify,
)
from zmqnode.base.signing import Domain, Signer
from zmqnode.config.secret import redact
from zmqnode.errors import Invalid

PRIVATE_TEXT = "KyfqCLSEyfUhskZ63WtVH3m3pGgnurFHuTgkgu73Pgyjf8sxbp8Rmpr"
PUBLIC_TEXT = "GkhMcC4LDk22FsRGoQ4qAjuZ2BZERof7VSfmNy9HfW3F3MpQvmpu"
SECRET = PRIVATE_TEXT[:-3]
KEY = parse_private(PRIVATE_TEXT)
seeds = st.binary(min_size=32, max_size=32)

# The group order of Ed25519, RFC 8032 section 5.1.
ORDER = 2**252 + 27742317777372353535851937790883648493
# Encodings of the eight points of small order and their second encodings, from
# Chalkias, Garillot and Nikolaenko, Taming the many EdDSAs (2020), table 6, among others.
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]
# y = 2 is on no point of the curve; y = p + 3 is a second encoding of y = 3.
OFF_CURVE = ["02" + "00" * 31, "ff" * 32, "f0" + "ff" * 30 + "7f"]


def told(call: Callable[[], object]) -> str:
    """All that a refusal says."""
    with pytest.raises(Invalid) as refused:
        call()
    error = refused.value
    return f"{error.code} {error} {error!r} {error.hint} {error.details} {error.to_json()}"


# Texts.


def test_the_texts_of_the_contract_belong_together() -> None:
    assert (KEY.text(), public_text(KEY.public)) == (PRIVATE_TEXT, PUBLIC_TEXT)
    assert parse_public(PUBLIC_TEXT) == KEY.public


@given(seeds)
def test_keys_survive_their_texts(seed: bytes) -> None:
    key = PrivateKey(seed)
    again = parse_private(key.text())
    assert (again, again.public, again.text()) == (key, key.public, key.text())
    assert parse_public(public_text(key.public)) == key.public
    assert looks_private(key.text()) and looks_private(key.text()[:-3])
    assert looks_public(public_text(key.public))


def test_a_seed_has_32_bytes() -> None:
    for size in (0, 31, 33, 64):
        with pytest.raises(ValueError, match="32 bytes"):
            PrivateKey(bytes(size))


@given(st.binary(max_size=60))
def test_base58_has_one_text_for_bytes(data: bytes) -> None:
    assert base58_decode(base58_encode(data)) == data


@given(st.text("123456789ABCabcxyz", max_size=60))
def test_base58_has_one_reading_for_texts(text: str) -> None:
    assert base58_encode(base58_decode(text)) == text


@pytest.mark.parametrize("char", "0OIl+/ _-\n\x00é１\ud800")
def test_base58_has_58_characters(char: str) -> None:
    with pytest.raises(ValueError, match="base58"):
        base58_decode(f"2{char}2")


def test_every_changed_character_of_a_text_is_found() -> None:
    """Goal: no typing error passes. Method: change, leave out, double every character."""
    for at in range(len(SECRET)):
        other = "2" if SECRET[at] != "2" else "3"
        for wrong in (
            SECRET[:at] + other + SECRET[at + 1 :],
            SECRET[:at] + SECRET[at + 1 :],
            SECRET[: at + 1] + SECRET[at:],
        ):
            assert told(lambda wrong=wrong: parse_private(wrong + "mpr")).startswith("key_invalid")
    for at in range(len(PUBLIC_TEXT) - 3):
        other = "2" if PUBLIC_TEXT[at] != "2" else "3"
        for wrong in (
            PUBLIC_TEXT[:at] + other + PUBLIC_TEXT[at + 1 :],
            PUBLIC_TEXT[:at] + PUBLIC_TEXT[at + 1 :],
            PUBLIC_TEXT[: at + 1] + PUBLIC_TEXT[at:],
        ):
            assert told(lambda wrong=wrong: parse_public(wrong)).startswith("key_invalid")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mpr",
        SECRET,
        SECRET + "mpu",
        SECRET + "MPR",
        SECRET + "mp",
        SECRET + "sas",
        f" {PRIVATE_TEXT}",
        f"{PRIVATE_TEXT}\n",
        f"1{PRIVATE_TEXT}",
        PRIVATE_TEXT * 2,
        PUBLIC_TEXT,
        PRIVATE_TEXT.lower(),
        "\ud800mpr",
        "1" * 10_000 + "mpr",
    ],
)
def test_other_private_texts_are_refused_and_not_echoed(text: str) -> None:
    said = told(lambda: parse_private(text))
    assert said.startswith("key_invalid")
    assert SECRET not in said
    assert SECRET[:20] not in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mpu",
        PRIVATE_TEXT,
        f" {PRIVATE_TEXT}\n",
        SECRET,
        f"\t{SECRET}",
        SECRET + "mpu",
        PRIVATE_TEXT + "mpu",
        PUBLIC_TEXT[:-3],
        PUBLIC_TEXT[:-3] + "mpr",
        PUBLIC_TEXT + "\n",
        PUBLIC_TEXT[:-3] + "MPU",
        "1" + PUBLIC_TEXT,
        "1" * 10_000 + "mpu",
        "\ud800mpu",
    ],
)
def test_other_public_texts_are_refused_and_no_key_is_echoed(text: str) -> None:
    said = told(lambda: parse_public(text))
    assert said.startswith("key_invalid")
    assert SECRET not in said
    assert SECRET[:20] not in said


def test_a_swapped_pair_is_named() -> None:
    assert "a public key stands where a private key belongs" in told(
        lambda: parse_private(PUBLIC_TEXT)
    )
    assert "a private key stands where a public key belongs" in told(
        lambda: parse_public(PRIVATE_TEXT)
    )


def test_a_wif_without_the_compressed_flag_or_of_another_net_is_refused() -> None:
    raw = base58_decode(SECRET)
    for payload in (b"\xef" + raw[1:34], raw[:33] + b"\x02", raw[:33]):
        checked = payload + base58_decode(public_text(payload)[:-3])[-4:]
        assert told(lambda checked=checked: parse_private(base58_encode(checked) + "mpr"))


@pytest.mark.parametrize("encoded", SMALL_ORDER + OFF_CURVE)
def test_points_that_no_key_has_are_refused(encoded: str) -> None:
    public = bytes.fromhex(encoded)
    assert told(lambda: curve_public(public)).startswith("key_invalid")
    assert told(lambda: parse_public(public_text(public))).startswith("key_invalid")


@given(st.binary(max_size=40))
def test_any_bytes_are_a_curve_key_or_refused(public: bytes) -> None:
    with contextlib.suppress(Invalid):
        assert len(curve_public(public)) == 32


@given(seeds)
def test_the_curve_pair_belongs_together(seed: bytes) -> None:
    """Source: RFC 7748 by PyNaCl's own base point multiplication."""
    key = PrivateKey(seed)
    assert sodium.crypto_scalarmult_base(key.curve_secret()) == curve_public(key.public)


@pytest.mark.parametrize("parse", [parse_private, parse_public, parse_address, holds_private])
@pytest.mark.parametrize("char", ["K", "1", "z", "mpr"])
def test_long_texts_cost_little(parse: Callable[[str], object], char: str) -> None:
    """Goal: base58 is quadratic, its callers are not. Method: 1 MB, in a second at the worst."""
    begun = time.perf_counter()
    for suffix in ("", "mpr", "mpu", "sas"):
        with contextlib.suppress(Invalid):
            parse(char * (1_000_000 // len(char)) + suffix)
    assert time.perf_counter() - begun < 1


# Addresses.


@pytest.mark.parametrize("text", ["Asas", "n0sas", "sassas", "a-b_Csas", "x" * 61 + "sas", "0sas"])
def test_addresses(text: str) -> None:
    assert is_address(text)
    assert parse_address(text) == Address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sas",
        "A",
        "Asa",
        "ASAS",
        "Asas ",
        " Asas",
        "Asas\n",
        "A\x00sas",
        "A sas",
        "A.sas",
        "A/../sas",
        "é" + "sas",
        "١sas",
        "A\u200bsas",
        "\x1b[31msas",
        "\ud800sas",
        "x" * 62 + "sas",
        "x" * 100_000,
    ],
)
def test_other_texts_are_no_addresses(text: str) -> None:
    said = told(lambda: parse_address(text))
    assert not is_address(text)
    assert said.startswith("config_invalid")
    assert len(said) < 1500
    assert "\x1b" not in said
    assert "\x00" not in said


@pytest.mark.parametrize(
    "text",
    [
        PRIVATE_TEXT,
        SECRET,
        f" {PRIVATE_TEXT} ",
        f"{SECRET}sas",
        f"{PRIVATE_TEXT}sas",
        f"A{SECRET}sas",
        f'"{PRIVATE_TEXT}",',
        f"privatekey: {PRIVATE_TEXT} # mine",
    ],
)
def test_a_private_key_in_an_addresss_place_is_not_echoed(text: str) -> None:
    said = told(lambda: parse_address(text))
    assert said.startswith("config_invalid")
    assert SECRET[:20] not in said


# What leaks.


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_private_keys_are_not_pickled(protocol: int) -> None:
    for held in (KEY, [KEY], {"key": KEY}, Signer(KEY, Domain(network_id="n"))):
        with pytest.raises(TypeError) as refused:
            pickle.dumps(held, protocol)
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_private_keys_are_not_copied(copied: Callable[[object], object]) -> None:
    with pytest.raises(TypeError):
        copied(KEY)


def test_no_text_of_a_private_key_shows_it() -> None:
    seed = base58_decode(SECRET)[1:33]
    shown = [repr(KEY), str(KEY), f"{KEY}", f"{KEY!a}", repr([KEY]), repr({"k": KEY})]
    shown += [repr(Signer(KEY, Domain(network_id="n")))]
    for text in shown:
        assert SECRET[:12] not in text
        assert seed.hex()[:12] not in text
        assert repr(seed)[2:12] not in text
    assert PUBLIC_TEXT in repr(KEY)
    assert not hasattr(KEY, "__dict__")


def test_keys_are_equal_by_what_they_are() -> None:
    assert PrivateKey(bytes(32)) == PrivateKey(bytes(32))
    assert PrivateKey(bytes(32)) != KEY
    assert KEY != PRIVATE_TEXT
    assert len({KEY, parse_private(PRIVATE_TEXT)}) == 1


# Signatures.


@given(seeds, st.binary(max_size=100))
def test_a_signature_holds_for_its_key_and_data_alone(seed: bytes, data: bytes) -> None:
    key = PrivateKey(seed)
    signature = key.sign(data)
    assert len(signature) == 64
    assert verify(key.public, data, signature)
    assert signature == key.sign(data)  # Ed25519 has no chance in it.
    assert not verify(key.public, data + b"\x00", signature)
    assert not verify(PrivateKey(bytes(31) + b"\x01").public, data, signature) or seed[-1] == 1


def test_rfc_8032_test_1() -> None:
    """Source: RFC 8032 section 7.1."""
    seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    key = PrivateKey(bytes.fromhex(seed))
    assert key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_every_bit_of_a_signature_counts() -> None:
    data, signature = b"data", KEY.sign(b"data")
    for at in range(512):
        bent = bytearray(signature)
        bent[at // 8] ^= 1 << at % 8
        assert not verify(KEY.public, data, bytes(bent))


def test_an_s_beyond_the_order_is_refused() -> None:
    """Goal: nobody makes a second signature of a first. Method: S + k L, all that fit."""
    data, signature = b"data", KEY.sign(b"data")
    s = int.from_bytes(signature[32:], "little")
    for times in range(1, 16):
        if s + times * ORDER < 2**256:
            more = (s + times * ORDER).to_bytes(32, "little")
            assert not verify(KEY.public, data, signature[:32] + more)


@pytest.mark.parametrize("encoded", SMALL_ORDER + OFF_CURVE)
def test_keys_of_small_order_or_off_the_curve_sign_nothing(encoded: str) -> None:
    """S = 0 and R = the identity or the key itself would hold for a key of small order."""
    public = bytes.fromhex(encoded)
    for r in [public, *(bytes.fromhex(one) for one in SMALL_ORDER)]:
        for number in range(8):
            assert not verify(public, b"data %d" % number, r + bytes(32))


def test_an_r_of_small_order_needs_the_key_all_the_same() -> None:
    """PyNaCl's libsodium compares R's bytes with its own, so a mixed-order R does not pass."""
    for encoded in SMALL_ORDER:
        assert not verify(KEY.public, b"data", bytes.fromhex(encoded) + bytes(32))


def test_a_key_of_mixed_order_holds_without_the_cofactor() -> None:
    """Goal: notice a PyNaCl that verifies by another equation: the two fork a chain.

    Method: a key A + T with T of order 8, whose holder signs by the book. S B = R + h (A + T) holds
    where 8 divides h, for one in eight messages; with the cofactor (8 S B = ..) it would for all.
    """
    secret = sodium.crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"a").digest())
    nonce = sodium.crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"r").digest())
    torsion = bytes.fromhex(SMALL_ORDER[2])
    public = sodium.crypto_core_ed25519_add(
        sodium.crypto_scalarmult_ed25519_base_noclamp(secret), torsion
    )
    r = sodium.crypto_scalarmult_ed25519_base_noclamp(nonce)
    for number in range(40):
        data = b"data %d" % number
        digest = hashlib.sha512(r + public + data).digest()
        h = sodium.crypto_core_ed25519_scalar_reduce(digest)
        s = sodium.crypto_core_ed25519_scalar_add(
            nonce, sodium.crypto_core_ed25519_scalar_mul(h, secret)
        )
        assert verify(public, data, r + s) == (h[0] % 8 == 0)
    assert told(lambda: curve_public(public)).startswith("key_invalid")


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_key_of_another_length_verifies_nothing(size: int) -> None:
    """Goal: no reading beyond the end of a short key. It is handed to C without its length."""
    signature = KEY.sign(b"data")
    assert not verify((KEY.public * 2)[:size], b"data", signature)


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_does_not_hold(size: int) -> None:
    """Also none that takes its missing bytes from the data, or gives it some."""
    signature = KEY.sign(b"data")
    assert not verify(KEY.public, b"data", (signature * 2)[:size])
    assert not verify(KEY.public, signature[63:] + b"data", signature[:63])
    assert not verify(KEY.public, b"ata", signature + b"d")


def test_a_private_key_within_a_longer_word_is_redacted() -> None:
    """Goal: a key typed into its neighbour is not shown by messages that quote what was given."""
    for text in (f"{SECRET}sas", f"A{PRIVATE_TEXT}", f"x={PRIVATE_TEXT},", f"KK{SECRET}LL"):
        assert SECRET[:20] not in redact(text)
    assert redact(PUBLIC_TEXT) == PUBLIC_TEXT
