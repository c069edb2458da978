"""The strict reading of YAML: one meaning or a finding, with the right line and column."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqnode.config.document import Document, compose
from zmqnode.config.limits import CONFIG_BYTES_MAX, CONFIG_DEPTH_MAX, CONFIG_NODES_MAX
from zmqnode.config.node import NODE, load_node
from zmqnode.config.schema import Reading
from zmqnode.errors import Invalid, ZmqnodeError

GOOD = """\
address: n0sas
network-id: example
privatekey: file:node.key
network:
  url: tcp://127.0.0.1:41000
"""


def findings(text: str) -> list[tuple[int, int, str, str, str | None]]:
    """Line, column, path, message, suggestion of each fault of a node.yml."""
    document = Document(file="node.yml")
    with suppress(ZmqnodeError):
        Reading(document=document).section(compose(document, text), NODE)
    found = sorted(document.findings, key=lambda one: (one.line, one.column))
    return [(one.line, one.column, one.path, one.message, one.suggestion) for one in found]


def test_a_right_file_has_no_findings() -> None:
    assert findings(GOOD) == []


@pytest.mark.parametrize(
    ("added", "line", "column", "path", "said", "suggestion"),
    [
        ("adress: n1sas", 6, 1, "adress", "no such key", "address"),
        ("network_id: x", 6, 1, "network_id", "no such key", "network-id"),
        ("url: tcp://a:1", 6, 1, "url", "no such key", "network.url"),
        ("after_ms: 5", 6, 1, "after_ms", "no such key", "standby.after_ms"),
        ("address: n1sas", 6, 1, "address", "the key stands here twice (first in line 1)", None),
        ("faults: yes", 6, 9, "faults", "must be true or false, not 'yes'", None),
        ("faults: 'true'", 6, 9, "faults", "must be true or false, not 'true'", None),
        ("faults: True", 6, 9, "faults", "must be true or false, not 'True'", None),
        (
            "standby: {after_ms: 1_000}",
            6,
            21,
            "standby.after_ms",
            "must be an int in decimal digits, not '1_000'",
            None,
        ),
        (
            "standby: {after_ms: 1e4}",
            6,
            21,
            "standby.after_ms",
            "must be an int in decimal digits, not '1e4'",
            None,
        ),
        (
            "standby:\n  after_ms: 1000.5",
            7,
            13,
            "standby.after_ms",
            "must be an int in decimal digits, not '1000.5'",
            None,
        ),
        ("standby: {after_ms: 5}", 6, 21, "standby.after_ms", "must be at least 1000, not 5", None),
        (
            "log: {level: inf}",
            6,
            14,
            "log.level",
            "must be one of debug, info, warning, error, not 'inf'",
            "info",
        ),
        ("log: 3", 6, 6, "log", "must be a map with keys of: level, format", None),
        ("data:", 6, 6, "data", "has no value; it must be a text", None),
        ("data: [a]", 6, 7, "data", "must be a text", None),
        ("app-path: {a: b}", 6, 11, "app-path", "must be a list of texts", None),
        ("data: &x a", 6, 7, "", "anchors and aliases (& and *) are not allowed here", None),
        ("data: !!str a", 6, 7, "", "tags (!) are not allowed here", None),
        ("data: 'a", 7, 1, "", "found unexpected end of stream", None),
        ("? [a]\n: b", 6, 3, "", "a key must be plain text", None),
    ],
)
def test_what_is_wrong_is_said_at_its_place(
    added: str, line: int, column: int, path: str, said: str, suggestion: str | None
) -> None:
    assert findings(GOOD + added + "\n") == [(line, column, path, said, suggestion)]


def test_missing_keys_are_named_at_the_map_that_lacks_them() -> None:
    assert [one[:4] for one in findings("network: {}\n")] == [
        (1, 1, "address", "is missing: the member's name, ending in sas"),
        (1, 1, "network-id", "is missing: the chain's name"),
        (
            1,
            1,
            "privatekey",
            "is missing: the address's identity key: "
            "file:PATH, env:NAME, cred:NAME, - or the key itself",
        ),
        (1, 10, "network.url", "is missing: the client door, tcp://HOST:PORT"),
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "just text\n"])
def test_a_file_that_is_no_map_is_refused(text: str) -> None:
    assert len(findings(text)) == 1


@pytest.mark.parametrize("word", ["no", "off", "null_", "007", "1e3", "0x10", "12:30:45", "1.5"])
def test_text_stays_text(word: str, tmp_path: Path) -> None:
    """YAML 1.1 would read each of these as something else."""
    file = tmp_path / "node.yml"
    file.write_text(GOOD.replace("example", word))
    assert load_node(file)[0].network_id == word


def test_a_tree_beyond_the_bounds_is_refused_before_it_is_built() -> None:
    deep = "a: " + "[" * (CONFIG_DEPTH_MAX + 1) + "]" * (CONFIG_DEPTH_MAX + 1)
    assert "too deep" in findings(deep)[0][3]
    assert "too deep" in findings("a: " + "[" * 5000)[0][3]
    assert "too long" in findings("a: [" + "b," * CONFIG_NODES_MAX + "]")[0][3]
    assert "one document" in findings(GOOD + "---\n" + GOOD)[0][3]


def test_a_file_beyond_its_size_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "node.yml"
    file.write_text(GOOD + "#" * CONFIG_BYTES_MAX)
    with pytest.raises(Invalid, match="larger than"):
        load_node(file)


def test_bytes_that_are_no_text_are_refused_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "node.yml"
    file.write_bytes(GOOD.encode() + b"data: \xff\n")
    with pytest.raises(Invalid) as caught:
        load_node(file)
    assert caught.value.code == "config_invalid"
    assert str(caught.value).startswith(f"{file}:6:7: this is no UTF-8 text")


@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@\n\t ?,", max_size=80))
def test_any_text_is_a_map_or_has_findings(text: str) -> None:
    """Goal: no crash and no silence. Method: junk, with YAML's own characters preferred."""
    assert findings(text) != []
