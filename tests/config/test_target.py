"""Targets, read by their shape; whose word counts for the key; who may sign what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zmqnode.base.genesis import Genesis, sign_entry
from zmqnode.base.keys import Address, PrivateKey, public_text
from zmqnode.base.params import Params
from zmqnode.config import genesis_text, node_text, write_secret_file
from zmqnode.config.contexts import Context, add_context, find_context, pin_genesis
from zmqnode.config.target import durable_text, local_nodes, read_target
from zmqnode.errors import Invalid, Refused, Unreachable, ZmqnodeError

KEYS = [PrivateKey(bytes([index + 1]) * 32) for index in range(4)]
CLIENT = PrivateKey(bytes([99]) * 32)


@pytest.fixture
def testnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as ``testnet up`` makes it, in use because it is ./testnet."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "testnet"
    nodes = []
    for index, key in enumerate(KEYS):
        place = folder / f"n{index}"
        place.mkdir(parents=True)
        url = f"tcp://127.0.0.1:{41000 + 3 * index}"
        values = {
            "address": f"n{index}sas",
            "network-id": "example",
            "privatekey": "file:node.key",
            "network.url": url,
            "genesis": "../genesis.yml",
        }
        (place / "node.yml").write_text(node_text(values))
        write_secret_file(place / "node.key", key.text())
        name = f"n{index}"
        nodes.append({"name": name, "address": f"n{index}sas", "dir": str(place), "url": url})
    write_secret_file(folder / "client.key", CLIENT.text())
    tree = {"v": 1, "network_id": "example", "app": "kv", "nodes": nodes}
    (folder / "testnet.json").write_text(json.dumps(tree))
    return folder


def code_of(text: str | None) -> str:
    with pytest.raises(ZmqnodeError) as caught:
        read_target(text)
    return caught.value.code


@pytest.mark.parametrize("text", ["n1", "testnet/n1", "./testnet/n1/node.yml", "testnet/n1/"])
def test_a_node_of_the_testnet_by_name_and_by_path(testnet: Path, text: str) -> None:
    target = read_target(text)
    assert target.place.url == "tcp://127.0.0.1:41003"
    assert target.publickey == KEYS[1].public
    assert target.folder == testnet / "n1" or target.folder == Path.cwd() / "testnet/n1"


def test_the_testnet_in_use_may_be_named(
    testnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert local_nodes() == {}
    assert code_of("n1") == "unknown_context"
    monkeypatch.setenv("ZMQNODE_TESTNET", str(testnet))
    assert read_target("n1").publickey == KEYS[1].public


def test_without_a_target_the_first_of_three(
    testnet: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert read_target().publickey == KEYS[0].public  # n0 of the testnet in use
    monkeypatch.setenv("ZMQNODE_TESTNET", str(testnet))
    monkeypatch.chdir(testnet / "n2")
    assert read_target().publickey == KEYS[2].public  # ./node.yml
    monkeypatch.setenv("ZMQNODE_TARGET", "n3")
    assert read_target().publickey == KEYS[3].public
    monkeypatch.delenv("ZMQNODE_TARGET")
    monkeypatch.delenv("ZMQNODE_TESTNET")
    monkeypatch.chdir("/")
    assert code_of(None) == "no_target"


def test_the_key_of_a_url_comes_from_it_the_testnet_or_the_signer(testnet: Path) -> None:
    public = public_text(KEYS[3].public)
    assert read_target(f"tcp://{public}@10.0.0.1:1").publickey == KEYS[3].public
    assert read_target("https://127.0.0.1:41006").publickey == KEYS[2].public
    assert read_target("tcp://10.0.0.1:1", sign=KEYS[1].text()).publickey == KEYS[1].public
    with pytest.raises(Unreachable) as caught:
        read_target("tcp://10.0.0.1:1")
    assert caught.value.hint.endswith("tcp://PUBLICKEY@10.0.0.1:1")
    assert caught.value.details == {"connected": False}


def test_a_url_is_no_authority_and_a_folder_is(testnet: Path) -> None:
    assert read_target("tcp://127.0.0.1:41000").folder is None
    assert read_target("testnet/n0").folder is not None


def test_the_genesis_says_the_key_so_that_the_private_one_is_not_read(testnet: Path) -> None:
    entry = sign_entry(
        address=Address("n0sas"),
        instance=KEYS[1].public,
        url="tcp://127.0.0.1:41000",
        network_id="example",
        key=KEYS[0],
    )
    genesis = Genesis(
        network_id="example", app="kv", app_version=1, params=Params(), entries=(entry,)
    )
    (testnet / "genesis.yml").write_text(genesis_text(genesis))
    (testnet / "n0" / "node.key").unlink()
    assert read_target("n0").publickey == KEYS[0].public
    (testnet / "genesis.yml").unlink()
    assert code_of("n0") == "file_missing"


@pytest.mark.parametrize(
    ("text", "hint"),
    [("n9", "there are: n0"), ("mainnett", "did you mean mainnet?")],
)
def test_a_name_that_is_none_is_told_the_names_there_are(
    testnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, hint: str
) -> None:
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))
    add_context(Context(name="mainnet", target="tcp://127.0.0.1:1"))
    with pytest.raises(Invalid) as caught:
        read_target(text)
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("n9", "unknown_context"),
        ("testnet/n9", "file_missing"),
        (".", "file_missing"),
        ("none.yml", "file_missing"),
        ("tcp://x", "config_invalid"),
        ("tcp://bad@h:1", "key_invalid"),
    ],
)
def test_what_is_no_target(testnet: Path, text: str, code: str) -> None:
    assert code_of(text) == code


def test_a_damaged_testnet_file_is_named(testnet: Path) -> None:
    for text in ("{", "[]", "{}", '{"nodes":[{}]}', '{"nodes":3}'):
        (testnet / "testnet.json").write_text(text)
        assert code_of("n0") == "config_invalid"


def test_a_context_stands_for_its_target(testnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_context(Context(name="prod", target=durable_text("n1"), sign="env:K"))
    pin_genesis("prod", "somebodympu", "ab" * 32)
    pin_genesis("prod", "somebodympu", "cd" * 32)
    assert find_context("prod").genesis == {"somebodympu": "ab" * 32}  # The first one stays.
    monkeypatch.chdir("/")
    target = read_target("prod")
    assert target.publickey == KEYS[1].public
    assert target.context == "prod"
    assert target.genesis == {"somebodympu": "ab" * 32}
    monkeypatch.setenv("K", CLIENT.text())
    assert target.seal_key() == CLIENT


def test_a_node_of_the_testnet_goes_before_a_context(testnet: Path) -> None:
    add_context(Context(name="n1", target="tcp://10.0.0.1:1"))
    assert read_target("n1").publickey == KEYS[1].public


def test_who_signs_seals(testnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = read_target("n0")
    assert target.seal_key() == CLIENT  # ../client.key
    monkeypatch.setenv("ZMQNODE_SIGN", KEYS[1].text())
    assert target.seal_key() == KEYS[1]
    assert target.seal_key(KEYS[2].text()) == KEYS[2]
    monkeypatch.delenv("ZMQNODE_SIGN")
    with pytest.raises(Invalid) as caught:
        read_target("tcp://127.0.0.1:41000").seal_key()
    assert caught.value.code == "key_invalid"


def test_who_may_control(testnet: Path) -> None:
    elsewhere = read_target("tcp://127.0.0.1:41000")
    with pytest.raises(Refused) as caught:
        elsewhere.control_key()
    assert caught.value.code == "not_authorised"
    assert elsewhere.control_key(KEYS[0].text()) == KEYS[0]
