"""node.yml: values, defaults, places, samples; and that no secret is ever shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zmqnode.base.keys import public_text
from zmqnode.config import Config, Place, load_node, node_text, parse_setting
from zmqnode.config.node import NODE
from zmqnode.config.schema import flat, json_schema
from zmqnode.errors import Invalid

SAMPLES = Path(__file__).parents[2] / "conf"
MITUM_KEY = "KyfqCLSEyfUhskZ63WtVH3m3pGgnurFHuTgkgu73Pgyjf8sxbp8Rmpr"
MITUM_PUBLIC = "GkhMcC4LDk22FsRGoQ4qAjuZ2BZERof7VSfmNy9HfW3F3MpQvmpu"


def node(tmp_path: Path, **changes: object) -> Config:
    values: dict[str, object] = {
        "address": "n0sas",
        "network-id": "example",
        "privatekey": "file:node.key",
        "network.url": "tcp://127.0.0.1:41000",
    }
    values.update({path.replace("__", "."): value for path, value in changes.items()})
    file = tmp_path / "node.yml"
    file.write_text(node_text(values))
    return Config.load(file)


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("**/node*.yml")), ids=lambda path: path.name)
def test_every_sample_loads(sample: Path) -> None:
    assert Config.load(sample).file == sample


def test_the_config_of_mitums_page_loads_as_it_is() -> None:
    config = Config.load(SAMPLES / "node.mitum.yml")
    assert config.address == "Asas"
    assert config.network_id == "mitum"
    assert config.url.url == "tcp://127.0.0.1:54321"
    assert public_text(config.privatekey.key().public) == MITUM_PUBLIC
    assert len(config.warnings) == 1


def test_the_full_sample_names_every_key() -> None:
    _, origins = load_node(SAMPLES / "node.full.yml")
    assert [path for path, origin in origins.items() if origin == "default"] == []


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    config = node(tmp_path)
    assert (config.peers.port, config.publish.port) == (41001, 41002)
    assert config.genesis == tmp_path / "genesis.yml"
    assert config.data == tmp_path
    assert (config.app, config.app_path, config.bootstrap) == ("kv", (), ())
    assert (config.standby_auto, config.standby_after_ms) == (False, 10_000)
    assert (config.handover_consent, config.log_level, config.log_format) == (
        "auto",
        "info",
        "text",
    )
    assert config.faults is False
    assert config.warnings == ()


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    config = node(tmp_path, data="d", genesis="/g.yml", **{"app-path": ["apps"]})
    assert config.data == tmp_path / "d"
    assert config.genesis == Path("/g.yml")
    assert config.app_path == (tmp_path / "apps",)
    assert config.privatekey.path == tmp_path / "node.key"


def test_a_folder_means_the_file_in_it(tmp_path: Path) -> None:
    assert node(tmp_path) == Config.load(tmp_path)


def test_origins_name_line_and_column(tmp_path: Path) -> None:
    node(tmp_path)
    _, origins = load_node(tmp_path)
    assert origins["network.url"] == f"{tmp_path}/node.yml:5:8"
    assert origins["network.peers"] == "default"
    assert list(origins) == list(flat(NODE))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network__url": "tcp://127.0.0.1:65534"}, "leaves no port for network.publish"),
        ({"network__peers": "41000"}, "tcp://127.0.0.1:41000 is taken by another door"),
        ({"network__publish": "tcp://127.0.0.1:41001"}, "is taken by another door"),
        ({"address": "n0"}, "is no address"),
        ({"network-id": "two words"}, "a network-id is 1 to 64 printable characters"),
        ({"network__bootstrap": ["tcp://x"]}, "needs a port"),
        ({"privatekey": "node.key"}, "this looks like a path"),
    ],
)
def test_values_that_cannot_be_are_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(Invalid, match=r"config_invalid|key_invalid") as caught:
        node(tmp_path, **changes)
    assert caught.value.code == "config_invalid"
    assert said in str(caught.value)


def test_doors_may_be_on_other_hosts(tmp_path: Path) -> None:
    config = node(tmp_path, network__peers="tcp://10.0.0.1:41000", network__publish=5000)
    assert config.peers == Place(host="10.0.0.1", port=41000)
    assert config.publish == Place(host="127.0.0.1", port=5000)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Goal: a literal key appears in no form of the config, and in no finding about it."""
    config = node(tmp_path, privatekey=MITUM_KEY)
    shown = repr(config) + str(config) + json.dumps(config.json()) + "".join(config.warnings)
    assert MITUM_KEY[:20] not in shown
    for path in ("address", "network-id", "log.level", "faults", "network.url", "nonsense"):
        for value in (MITUM_KEY, f"tcp://{MITUM_KEY}@h:1", f"https://{MITUM_KEY}:1"):
            with pytest.raises(Invalid) as caught:
                node(tmp_path, **{path: value})
            assert MITUM_KEY[:20] not in str(caught.value) + json.dumps(caught.value.details)
    with pytest.raises(Invalid) as caught:
        node(tmp_path, privatekey=MITUM_KEY[:-1] + "x")
    assert MITUM_KEY[:20] not in str(caught.value) + json.dumps(caught.value.details)
    with pytest.raises(Invalid) as caught:
        node(tmp_path, **{MITUM_KEY: "x"})
    assert MITUM_KEY[:20] not in str(caught.value) + json.dumps(caught.value.details)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("log.level=debug", "log.level", "debug"),
        ("standby.after_ms=5000", "standby.after_ms", 5000),
        ("faults=true", "faults", True),
        ("app-path=/a", "app-path", ["/a"]),
        ("network-id=no", "network-id", "no"),
    ],
)
def test_a_setting_comes_back_from_the_file(
    tmp_path: Path, text: str, path: str, value: object
) -> None:
    assert parse_setting(text) == (path, value)
    node(tmp_path, **{path: value})


@pytest.mark.parametrize(
    ("text", "hint"),
    [("log.levl=x", "did you mean log.level=VALUE?"), ("zzz=1", "write PATH=VALUE")],
)
def test_a_setting_that_is_none_names_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_setting(text)
    assert (caught.value.code, caught.value.hint) == ("config_invalid", hint)
    with pytest.raises(Invalid, match="at least 1000"):
        parse_setting("standby.after_ms=1")


def test_the_schema_knows_the_keys_of_the_table() -> None:
    schema = json_schema(NODE)
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert list(properties) == list(NODE.fields)
    assert schema["required"] == ["address", "network-id", "privatekey", "network"]
    assert properties["log"]["properties"]["level"]["enum"] == ["debug", "info", "warning", "error"]
