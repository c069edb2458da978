"""The JSON Schema says of a file what the reader says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from zmqnode.commands.main import main
from zmqnode.config import Config, node_text
from zmqnode.config.genesis import GENESIS
from zmqnode.config.node import NODE
from zmqnode.config.place import Place, parse_http
from zmqnode.config.schema import json_schema
from zmqnode.errors import Invalid

SAMPLES = Path(__file__).parents[2] / "conf"
RIGHT: dict[str, object] = {
    "address": "n0sas",
    "network-id": "example",
    "privatekey": "file:node.key",
    "network.url": "tcp://127.0.0.1:41000",
}


@pytest.fixture
def schema(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """As `zmqnode config schema` prints it."""
    assert main(["config", "schema"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(found)
    return found


def test_a_narrow_terminal_does_not_break_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["config", "schema"]) == 0
    assert "properties" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("**/node*.yml")), ids=lambda path: path.name)
def test_every_sample_is_valid(schema: dict[str, Any], sample: Path) -> None:
    Draft202012Validator(schema).validate(yaml.safe_load(sample.read_text()))


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("**/genesis.yml")), ids=str)
def test_every_genesis_is_valid(sample: Path) -> None:
    made = json_schema(GENESIS)
    Draft202012Validator.check_schema(made)
    Draft202012Validator(made).validate(yaml.safe_load(sample.read_text()))


@pytest.mark.parametrize(
    ("path", "value", "right"),
    [
        ("network.peers", 41001, True),
        ("network.peers", 65536, False),
        ("network.peers", "tcp://127.0.0.1:5", True),
        ("metrics.url", 9464, True),
        ("metrics.url", 0, False),
        ("metrics.url", "http://127.0.0.1:9464", True),
        ("metrics.port", 9464, False),
        ("address", "n0", False),
        ("network.bootstrap", "tcp://a:1", True),
        ("network.bootstrap", ["tcp://a:1"], True),
        ("standby.after_ms", 5, False),
        ("standby.auto", True, True),
        ("standby.auto", "yes", False),
        ("log.level", "loud", False),
        ("data", None, False),
        ("nonsense", 1, False),
    ],
)
def test_schema_and_reader_agree(
    schema: dict[str, Any], tmp_path: Path, path: str, value: object, right: bool
) -> None:
    file = tmp_path / "node.yml"
    file.write_text(node_text({**RIGHT, path: value}))
    assert Draft202012Validator(schema).is_valid(yaml.safe_load(file.read_text())) is right
    if right:
        Config.load(file)
    else:
        with pytest.raises(Invalid) as caught:
            Config.load(file)
        findings: Any = caught.value.details["findings"]
        assert all(one["line"] >= 1 and one["column"] >= 1 for one in findings)


def test_every_key_has_a_word_for_the_editor() -> None:
    def walk(tree: Any) -> None:
        assert tree["description"]
        for one in tree.get("properties", {}).values():
            walk(one)

    walk(json_schema(NODE))


def test_a_key_that_resembles_none_gets_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.yml"
    text = node_text({**RIGHT, "metrics.port": 9464})
    file.write_text(text + "log.level: info\n")
    assert main(["config", "check", str(file)]) == 2
    assert capsys.readouterr().out.splitlines() == [
        f"{file}:7:3: metrics.port: no such key; known here: url",
        f"{file}:8:1: log.level: no such key: write it as maps within maps, without the dot",
    ]
    file.write_text("")
    assert main(["config", "check", str(file)]) == 2
    assert capsys.readouterr().out == f"{file}:1:1: the file is empty\n"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9464", "127.0.0.1", 9464),
        ("http://127.0.0.1:9464", "127.0.0.1", 9464),
        ("HTTP://[::1]:9464/", "::1", 9464),
        ("http://metrics.example:1", "metrics.example", 1),
    ],
)
def test_places_of_metrics(text: str, host: str, port: int) -> None:
    assert parse_http(text) == Place(host=host, port=port)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "neither"),
        ("65536", "neither"),
        ("127.0.0.1:9464", "neither"),
        ("https://h:1", "has the scheme https, not http"),
        ("tcp://h:1", "has the scheme tcp, not http"),
        ("http://me@h:1", "name or key"),
        ("http://h", "needs a port"),
        ("http://h:1/metrics", "are there by themselves"),
        ("http://300.1.1.1:1", "no IPv4 address"),
    ],
)
def test_places_that_metrics_cannot_have(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=r"config_invalid") as caught:
        parse_http(text)
    assert said in caught.value.message


def test_metrics_beyond_the_loopback_earn_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "node.yml"
    for url, warned in (("http://0.0.0.0:9464", 1), ("http://[::1]:9464", 0), ("9464", 0)):
        file.write_text(node_text({**RIGHT, "metrics.url": url}))
        assert len(Config.load(file).warnings) == warned
    file.write_text(node_text({**RIGHT, "metrics.url": 41001}))
    with pytest.raises(Invalid, match=r"is a door of the network"):
        Config.load(file)
