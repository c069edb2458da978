"""Urls: one canonical form, keys in them, nothing that is not a place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqnode.base.keys import parse_public
from zmqnode.config.place import Place, parse_place
from zmqnode.errors import Invalid

PUBLIC = "GkhMcC4LDk22FsRGoQ4qAjuZ2BZERof7VSfmNy9HfW3F3MpQvmpu"
PRIVATE = "KyfqCLSEyfUhskZ63WtVH3m3pGgnurFHuTgkgu73Pgyjf8sxbp8Rmpr"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
        ("https://127.0.0.1:54321", "tcp://127.0.0.1:54321"),
        ("https://127.0.0.1:54321/", "tcp://127.0.0.1:54321"),
        ("https://127.0.0.1:54321#tls_insecure", "tcp://127.0.0.1:54321"),
        ("TCP://Node-1.Example.org:65535", "tcp://node-1.example.org:65535"),
        ("tcp://[::1]:4000", "tcp://[::1]:4000"),
        ("tcp://[0:0:0:0:0:0:0:1]:4000", "tcp://[::1]:4000"),
        (f"tcp://{PUBLIC}@h:1", "tcp://h:1"),
    ],
)
def test_a_url_has_one_canonical_form(text: str, url: str) -> None:
    place = parse_place(text)
    assert place.url == url
    assert parse_place(place.text) == place


def test_a_url_may_name_the_key() -> None:
    place = parse_place(f"tcp://{PUBLIC}@10.0.0.1:4000")
    assert place.publickey == parse_public(PUBLIC)
    assert place.text == f"tcp://{PUBLIC}@10.0.0.1:4000"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h:1",
        "tcp://",
        "tcp://h",
        "tcp://h:",
        "tcp://h:0",
        "tcp://h:65536",
        "tcp://:1",
        "tcp://h:1/path",
        "tcp://h:1?x",
        "udp://h:1",
        "ipc:///tmp/x",
        "tcp://a b:1",
        "tcp://-h:1",
        "tcp://1.2.3:1",
        "tcp://256.1.1.1:1",
        "tcp://[::g]:1",
        "tcp://::1:1",
        "tcp://h:１",
        "tcp://*:1",
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_place(text)
    assert caught.value.code == "config_invalid"


@pytest.mark.parametrize("key", ["", "x", PUBLIC[:-4], PRIVATE, PUBLIC.replace("G", "H", 1)])
def test_a_wrong_key_in_a_url_is_refused_and_no_private_one_echoed(key: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_place(f"tcp://{key}@h:1")
    assert caught.value.code == "key_invalid"
    assert PRIVATE[:10] not in str(caught.value)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_literal_addresses_come_back(address: object, port: int) -> None:
    place = Place(host=str(address), port=port)
    assert parse_place(place.url) == place
