"""Envelope, gate, hello, descriptors: no sockets, or no ZeroMQ ones."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqnode.base.codec import decode_as, encode
from zmqnode.base.hashes import ZERO, Hash
from zmqnode.base.keys import PrivateKey
from zmqnode.errors import Invalid, Malformed
from zmqnode.network import Fault, Gate, Introduction, NetworkLimits, Rate, Strike, parse_place, tcp
from zmqnode.network.envelope import (
    NUMBER_MAX,
    PeerKind,
    StreamHeader,
    Topic,
    pack_header,
    pack_stream_header,
    read_header,
    read_stream_header,
)
from zmqnode.network.gate import TokenBucket
from zmqnode.network.hello import DIALLER, LISTENER, Credential, Speaker, refusal
from zmqnode.network.pressure import connections_that_fit, descriptors_used, raise_descriptor_limit
from zmqnode.network.sockets import is_own_id


@given(st.sampled_from(PeerKind), st.integers(0, NUMBER_MAX))
def test_a_header_is_read_as_it_was_written(kind: PeerKind, number: int) -> None:
    assert read_header(pack_header(kind, number)) == (kind, number)


@given(
    st.sampled_from(Topic),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=8, max_size=8),
    st.integers(1, NUMBER_MAX),
)
def test_a_stream_header_is_read_as_it_was_written(
    topic: Topic, instance: bytes, incarnation: bytes, number: int
) -> None:
    data = pack_stream_header(topic, instance, incarnation, number)
    assert data.startswith(topic.encode())
    assert read_stream_header(data) == StreamHeader(
        topic=topic, instance=instance, incarnation=incarnation, number=number
    )


@given(st.binary(max_size=64))
def test_junk_is_no_header_or_the_same_bytes_again(data: bytes) -> None:
    direct = read_header(data)
    assert direct is None or len(data) == 9
    stream = read_stream_header(data)
    assert stream is None or data == pack_stream_header(
        stream.topic, stream.instance, stream.incarnation, stream.number
    )


def test_a_bucket_gives_its_burst_then_its_rate_and_never_more() -> None:
    bucket = TokenBucket(Rate(per_second=10, burst=5), 1000)
    assert [bucket.take(1, 1000) for _ in range(6)] == [True] * 5 + [False]
    assert not bucket.take(1, 1099)
    assert bucket.take(1, 1100)
    assert not bucket.take(1, 1100)
    assert not bucket.take(1, 900), "time does not run backwards"
    assert bucket.take(5, 10_000)
    assert not bucket.take(1, 10_000), "no more than the burst is saved up"


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 5)), max_size=200))
def test_a_bucket_never_gives_more_than_burst_and_rate(asks: list[tuple[int, int]]) -> None:
    bucket = TokenBucket(Rate(per_second=7, burst=9), 0)
    now = given_out = 0
    for wait_ms, amount in asks:
        now += wait_ms
        given_out += amount if bucket.take(amount, now) else 0
        assert given_out * 1000 <= 9000 + 7 * now


def refuse_odd(data: bytes) -> object:
    if len(data) % 2:
        raise Malformed("odd")
    return data.decode()


def test_the_gate_judges_size_then_reading_then_the_callers_check() -> None:
    signature = Strike(fault=Fault.SIGNATURE)
    gate = Gate(
        bytes_max=4,
        decode=refuse_odd,
        check=lambda message: signature if message == "evil" else None,
    )
    assert gate.judge(b"ok") == "ok"
    assert gate.judge(b"evil") is signature
    odd = gate.judge(b"odd")
    assert isinstance(odd, Strike)
    assert odd.fault is Fault.MALFORMED
    long = gate.judge(b"longer")
    assert isinstance(long, Strike)
    assert long.fault is Fault.SIZE


IDENTITY = PrivateKey(b"\1" * 32)
INSTANCE = PrivateKey(b"\2" * 32)
MINE = Introduction(
    network_id="net",
    genesis=ZERO,
    params=Hash(bytes(32)),
    app="kv",
    app_version=1,
    address="asas",
    instance=PrivateKey(b"\3" * 32).public,
    incarnation=bytes(8),
    url="tcp://127.0.0.1:4000",
    publish_port=4002,
)
THEIRS = replace(MINE, address="bsas", instance=INSTANCE.public)
NONCE, OTHER = b"n" * 32, b"o" * 32


def judged(said: Credential, **changed: Any) -> str:
    expected: dict[str, Any] = {
        "role": DIALLER,
        "nonce": NONCE,
        "other_nonce": OTHER,
        "address": "bsas",
        "identity": IDENTITY.public,
    }
    return refusal(said, MINE, **(expected | changed))


def said(introduction: Introduction = THEIRS, role: str = DIALLER) -> Credential:
    speaker = Speaker(introduction=introduction, identity=IDENTITY, instance=INSTANCE)
    return speaker.credential(role, NONCE, OTHER)


def test_a_credential_holds_for_its_connection_and_role_only() -> None:
    good = said()
    assert judged(good) == ""
    assert decode_as(Credential, encode(good)) == good
    assert judged(good, other_nonce=b"x" * 32) == "bad_signature", "replayed"
    assert judged(good, nonce=b"x" * 32) == "bad_signature"
    assert judged(good, role=LISTENER) == "bad_signature", "reflected"
    assert judged(good, address="csas") == "address_mismatch"
    assert judged(good, identity=INSTANCE.public) == "bad_signature"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("protocol", 2, "protocol_mismatch"),
        ("network_id", "x", "network_mismatch"),
        ("genesis", Hash(b"x" * 32), "genesis_mismatch"),
        ("params", Hash(b"x" * 32), "params_mismatch"),
        ("app", "x", "app_mismatch"),
        ("app_version", 2, "app_mismatch"),
        ("address", "csas", "address_mismatch"),
    ],
)
def test_every_difference_has_its_code(field: str, value: Any, code: str) -> None:
    assert judged(said(replace(THEIRS, **{field: value}))) == code


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("params", Hash(b"x" * 32), "params_mismatch"),
        ("app_version", 2, "app_mismatch"),
        ("network_id", "x", "network_mismatch"),
    ],
)
def test_what_makes_the_genesis_another_one_is_named(field: str, value: Any, code: str) -> None:
    """Parameters and application are in the genesis: where they differ, its hash does too."""
    other = replace(THEIRS, genesis=Hash(b"x" * 32), **{field: value})
    assert judged(said(other)) == code


def test_an_instance_that_only_names_its_key_is_no_instance() -> None:
    """A-sub holds A's identity key, but not A's instance key."""
    named = replace(THEIRS, instance=PrivateKey(b"\7" * 32).public)
    assert judged(said(named)) == "bad_signature"


@pytest.mark.parametrize("field", ["url", "publish_port", "incarnation", "app", "genesis"])
def test_every_word_of_an_introduction_is_signed(field: str) -> None:
    changed: dict[str, Any] = {
        "url": "tcp://127.0.0.1:9",
        "publish_port": 9,
        "incarnation": b"12345678",
        "app": "x",
        "genesis": Hash(b"x" * 32),
    }
    good = said()
    forged = replace(good, introduction=replace(good.introduction, **{field: changed[field]}))
    assert judged(forged) == "bad_signature"


def test_ones_own_instance_is_known_and_a_copy_of_it_too() -> None:
    me = Speaker(introduction=MINE, identity=IDENTITY, instance=PrivateKey(b"\3" * 32))
    assert judged(me.credential(DIALLER, NONCE, OTHER), address="asas") == "own_instance"
    copy = replace(me, introduction=replace(MINE, incarnation=b"12345678"))
    assert judged(copy.credential(DIALLER, NONCE, OTHER), address="asas") == "instance_twice"


@pytest.mark.parametrize(
    "changed", [{"url": "x" * 300}, {"publish_port": 0}, {"incarnation": b""}, {"app": "x" * 300}]
)
def test_an_introduction_is_bounded(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"bounds|port"):
        replace(MINE, **changed)


def test_a_descriptor_that_is_something_else_by_now_is_not_duplicated(tmp_path: Path) -> None:
    file = os.open(tmp_path / "journal", os.O_CREAT | os.O_RDWR)
    before = descriptors_used()
    assert tcp.duplicate(file, lambda _: True) is None
    os.close(file)
    assert tcp.duplicate(file, lambda _: True) is None, "closed"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as one:
            assert tcp.duplicate(one.fileno(), lambda _: False) is None, "another port"
            copy = tcp.duplicate(one.fileno(), lambda found: found.getpeername()[1] == port)
            assert copy is not None
            accepted, _ = server.accept()
            accepted.sendall(b"12345")
            assert one.recv(5) == b"12345"
            assert tcp.tcp_info(copy).received == 5
            assert tcp.tcp_info(copy).segments == 1
            assert tcp.tcp_info(copy).established
            tcp.end(copy)
            assert one.recv(1) == b""
            accepted.close()
            copy.close()
    assert descriptors_used() == before - 1


def test_connections_leave_descriptors_for_journal_and_store() -> None:
    limits = NetworkLimits()
    assert connections_that_fit(limits, 20_000) == 512
    assert connections_that_fit(limits, 1024) == (1024 - 256) // 2
    assert connections_that_fit(limits, 100) == 16
    assert raise_descriptor_limit() > descriptors_used()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("tcp://127.0.0.1:4000", ("127.0.0.1", 4000)),
        ("https://a.example:1", ("a.example", 1)),
        ("tcp://key@[::1]:65535", ("::1", 65535)),
    ],
)
def test_a_url_names_a_place(url: str, place: tuple[str, int]) -> None:
    assert parse_place(url) == place


@pytest.mark.parametrize(
    "url", ["", "tcp://", "tcp://h", "tcp://h:", "tcp://:1", "http://h:1", "tcp://h:0", "tcp://h:٣"]
)
def test_what_is_no_url_is_invalid(url: str) -> None:
    with pytest.raises(Invalid):
        parse_place(url)


@pytest.mark.parametrize(
    ("routing_id", "own"),
    [(b"\0abcd", True), (b"", False), (b"abcde", False), (b"\0abcde", False), (b"\0", False)],
)
def test_only_ids_that_router_makes_are_its_own(routing_id: bytes, own: bool) -> None:
    assert is_own_id(routing_id) is own
