"""Sections 5, 7 and 8: what a running network answers, held to the contract's shapes."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from typing import Any

import pytest

from tests.e2e import answers
from tests.e2e.local_net import LocalNet, named


def put(net: LocalNet, key: str, value: str, *more: object) -> dict[str, Any]:
    words = ("seal", "send", "put", f"key={key}", f"value={value}", *more)
    return net.script.answer(answers.RECEIPT, *words)


def test_node_info(net: LocalNet) -> None:
    info = net.script.answer(answers.NODE_INFO, "node", "info", "-t", "n1")
    assert (info["address"], info["state"], info["role"]) == ("n1sas", "CONSENSUS", "active")
    assert info["params"]["activation_lag"] == 2
    assert {info[key] for key in ("handover", "broken", "split")} == {None}
    suffrage = info["suffrage"]
    assert suffrage["height"] == info["height"] + 1
    assert [member["address"] for member in suffrage["members"]] == [f"n{i}sas" for i in range(4)]
    assert suffrage["margin"] == suffrage["live"] - suffrage["q"]
    assert info["lag_blocks"] == info["tip_height"] - info["height"]
    assert "CONSENSUS" in net.script.text("node", "info")


def test_every_form_of_target_reaches_the_node(net: LocalNet) -> None:
    shown = named(net.do("status"), "n1")
    https = shown["target"].replace("tcp://", "https://")
    folder = str(net.dir / "n1")
    net.script.json("ctx", "add", "one", shown["target"])
    for target in (shown["target"], https, shown["url"], folder, f"{folder}/node.yml", "n1", "one"):
        assert net.script.json("node", "info", "-t", target)["address"] == "n1sas", target
    assert net.script.json("node", "info")["address"] == "n0sas"
    net.script.json("ctx", "rm", "one")


def test_suffrage_list_is_node_infos(net: LocalNet) -> None:
    listed = net.script.answer(answers.SUFFRAGE, "suffrage", "list")
    assert (listed["n"], listed["f"], listed["q"], listed["live"]) == (4, 1, 3, 4)
    first = net.script.answer(answers.SUFFRAGE, "suffrage", "list", "--height", "1")
    assert first["height"] == 1
    net.script.refusal("not_found", 1, "suffrage", "list", "--height", "9999999")


def test_a_receipt_and_what_follows_from_it(net: LocalNet) -> None:
    receipt = put(net, "a", "eins")
    assert (receipt["ok"], receipt["state"]) == (True, "committed")
    block = net.script.answer(answers.BLOCK, "block", "show", receipt["height"])
    assert block["block_hash"] == receipt["block_hash"]
    assert receipt["seal"] in block["seals"]
    (operation,) = [one for one in block["operations"] if one["seal"] == receipt["seal"]]
    assert operation["arguments"]["value"] == base64.b64encode(b"eins").decode()
    assert (operation["name"], operation["ok"], operation["index"]) == ("put", True, 0)
    by_hash = net.script.answer(answers.BLOCK, "block", "show", receipt["block_hash"], "-t", "n3")
    of_any_node = ("block_hash", "seals", "operations", "results_root", "state_root")
    assert [by_hash[key] for key in of_any_node] == [block[key] for key in of_any_node]
    waited = net.script.answer(answers.RECEIPT, "wait", "seal", receipt["seal"], "-t", "n2")
    assert (waited["height"], waited["results"]) == (receipt["height"], receipt["results"])


def test_an_undone_operation_is_an_answer_and_no_error(net: LocalNet) -> None:
    words = ("seal", "send", "delete", "key=not-there")
    receipt = net.script.answer(answers.RECEIPT, *words, code=1)
    assert (receipt["ok"], receipt["state"]) == (False, "committed")
    assert receipt["results"][0]["reason"] != ""
    assert not receipt["results"][0]["ok"]
    block = net.script.json("block", "show", receipt["height"])
    assert not block["operations"][0]["ok"]


def test_accepted_comes_before_committed(net: LocalNet) -> None:
    receipt = put(net, "b", "zwei", "--wait", "accepted")
    alone = put(net, "b", "drei", "--wait", "accepted", "--only", "-t", "n2")
    for one in (receipt, alone):
        # The second node asked may answer later than a block takes.
        assert one["state"] == "committed" or (one["state"], one["results"]) == ("accepted", [])
        done = net.script.answer(answers.RECEIPT, "wait", "seal", one["seal"])
        assert done["state"] == "committed"


def test_values_come_in_every_form(net: LocalNet) -> None:
    (net.folder / "data").write_bytes(b"\x00\xff\n")
    for value, stored in (
        ("plain=text", b"plain=text"),
        ("0x00ff", b"\x00\xff"),
        ("@data", b"\x00\xff\n"),
        ("", b""),
        ("ü€", "ü€".encode()),
    ):
        receipt = put(net, "form", value)
        height = ("--height", receipt["height"])
        got = net.script.answer(answers.QUERY, "query", "get", "key=form", *height)
        assert base64.b64decode(got["result"]) == stored
    put(net, "form", "0x00ff")
    assert net.script.text("query", "get", "key=form") == "0x00ff\n"


def test_several_operations_come_in_a_file(net: LocalNet) -> None:
    lines = [
        {"name": "put", "arguments": {"key": f"line{i}", "value": base64.b64encode(b"x").decode()}}
        for i in range(30)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (net.folder / "ops").write_text(text)
    receipt = net.script.answer(answers.RECEIPT, "seal", "send", "--file", "ops")
    assert [one["index"] for one in receipt["results"]] == list(range(30))
    again = net.script.answer(answers.RECEIPT, "seal", "send", "--file", "-", stdin=text)
    assert again["seal"] != receipt["seal"]
    keys = net.script.answer(answers.QUERY, "query", "keys", "prefix=line1", "-t", "n0")
    assert keys["result"] == ["line1", *(f"line1{i}" for i in range(10))]


def test_queries_are_typed_and_proven(net: LocalNet) -> None:
    receipt = put(net, "p", "proven")
    at = ("--height", receipt["height"])
    for node in net.names():
        words = ("query", "get", "key=p", "--proof", *at, "-t", node)
        answer = net.script.answer(answers.QUERY, *words)
        assert answer["proof"]["verified"] is True
        assert answer["height"] >= receipt["height"]
    absent = net.script.answer(answers.QUERY, "query", "get", "key=absent", "--proof")
    assert (absent["result"], absent["proof"]["verified"]) == (None, True)
    scan = net.script.answer(answers.QUERY, "query", "keys", "prefix=", "--proof")
    assert scan["proof"] is None
    assert net.script.text("query", "get", "key=p") == "proven\n"


def test_a_seal_lies_in_a_file(net: LocalNet) -> None:
    made = net.script.answer(
        answers.SEAL, "seal", "make", "put", "key=f", "value=F", "--out", "seal.bin"
    )
    data = (net.folder / "seal.bin").read_bytes()
    assert base64.b64decode(made["data"]) == data
    assert made["size_bytes"] == len(data)
    assert made["expires_at_ms"] > made["created_at_ms"]
    assert net.script.answer(answers.SEAL, "seal", "cat", "seal.bin") == made
    net.script.refusal(
        "already_exists", 1, "seal", "make", "put", "key=f", "value=F", "--out", "seal.bin"
    )
    sent = net.script.answer(answers.RECEIPT, "seal", "send", "--seal", "seal.bin")
    again = net.script.answer(answers.RECEIPT, "seal", "send", "--seal", "seal.bin", "-t", "n3")
    assert sent["seal"] == made["seal"] == again["seal"]
    assert (again["height"], again["block_hash"]) == (sent["height"], sent["block_hash"])


def test_a_forged_seal_is_shown_and_refused(net: LocalNet) -> None:
    made = net.script.json("seal", "make", "put", "key=g", "value=G")
    forged = bytearray(base64.b64decode(made["data"]))
    forged[-1] ^= 1
    (net.folder / "forged.bin").write_bytes(bytes(forged))
    shown = net.script.answer(answers.SEAL, "seal", "cat", "forged.bin")
    assert shown["signature_ok"] is False
    net.script.refusal("bad_signature", 1, "seal", "send", "--seal", "forged.bin")


def test_a_seal_may_be_made_by_any_key(net: LocalNet) -> None:
    public = net.script.json("key", "new", "mine.key")["publickey"]
    words = ("seal", "make", "put", "key=k", "value=v", "--sign", "file:mine.key")
    assert net.script.answer(answers.SEAL, *words)["sender"] == public
    net.script.refusal("file_missing", 2, *words[:-1], "file:nope")
    (net.folder / "mine.key").chmod(0o644)
    net.script.refusal("key_invalid", 2, *words)


def test_blocks_are_listed_and_chained(net: LocalNet) -> None:
    net.wait_height(25, "n0")
    newest = net.script.answer(answers.BLOCKS, "block", "list")["blocks"]
    assert len(newest) == 20
    few = net.script.answer(answers.BLOCKS, "block", "list", "--from", "0", "--to", "4")["blocks"]
    assert [one["height"] for one in few] == [0, 1, 2, 3, 4]
    assert few[0]["parent_hash"] == "0" * 64
    for parent, child in pairwise(few):
        assert child["parent_hash"] == parent["block_hash"]
    genesis = net.script.answer(answers.BLOCK, "block", "show", "0")
    nothing = ("proposer", "proposed_at", "proposed_at_ms", "init_voteproof", "accept_voteproof")
    assert {genesis[key] for key in nothing} == {None}
    assert genesis["block_hash"] == net.do("status")["genesis_hash"]
    last = net.script.answer(answers.BLOCK, "block", "show", "last")
    assert len(last["accept_voteproof"]["signers"]) >= 3
    assert last["accept_voteproof"]["stage"] == "ACCEPT"


def test_the_chain_verifies_from_every_node(net: LocalNet) -> None:
    for verified in net.verify().values():
        assert verified["ok"]
        assert verified["first_height"] == 0
        assert verified["blocks"] == verified["last_height"] + 1
        assert verified["signatures"] >= 3 * verified["last_height"]
    some = net.script.answer(answers.VERIFY, "block", "verify", "--from", "3", "--to", "9")
    assert (some["first_height"], some["last_height"], some["blocks"]) == (3, 9, 7)
    net.script.answer(answers.VERIFY, "block", "verify", "--genesis", net.dir / "genesis.yml")


def test_a_chain_is_held_against_the_genesis_at_hand(net: LocalNet) -> None:
    words = ("node", "init", "m0", "--address", "m0sas", "--network-id", "other")
    net.script.json(*words, "--url", "tcp://127.0.0.1:22000")
    net.script.json("genesis", "assemble", "m0/entry.yml", "--out", "other.yml")
    run = net.script.run("block", "verify", "--genesis", "other.yml", "--json")
    answer = json.loads(run.out)
    assert run.code == 1, str(run)
    assert "error" in answer or (answer["ok"], answer["bad"] is None) == (False, False)


def test_waits(net: LocalNet) -> None:
    height = net.script.json("node", "info")["height"]
    waited = net.script.answer(answers.WAITED, "wait", "height", height + 2)
    assert waited["height"] >= height + 2
    assert net.script.answer(answers.WAITED, "wait", "state", "CONSENSUS")["ok"]
    assert net.script.answer(answers.WAITED, "wait", "synced", "-t", "n3")["role"] == "active"
    net.script.refusal("timeout", 5, "wait", "height", "9999999", "--timeout", "400ms")
    net.script.refusal_text("timeout", 5, "wait", "state", "BROKEN", "--timeout", "400ms")
    net.script.refusal("timeout", 5, "wait", "seal", "00" * 32, "--timeout", "400ms")


def test_peers(net: LocalNet) -> None:
    peers = net.script.answer(answers.PEERS, "peers")["peers"]
    assert sorted(peer["address"] for peer in peers) == ["n1sas", "n2sas", "n3sas"]
    assert all(peer["connected"] and peer["role"] == "active" for peer in peers)


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("unknown_operation", 1, ["seal", "send", "nope", "key=a"]),
        ("bad_argument", 1, ["seal", "send", "put", "key=a"]),
        ("bad_argument", 1, ["seal", "send", "put", "key=a", "value=1", "other=2"]),
        ("bad_argument", 1, ["seal", "send", "put", "key=a", "value=0xZZ"]),
        ("file_missing", 2, ["seal", "send", "put", "key=a", "value=@nope"]),
        ("file_missing", 2, ["seal", "send", "--file", "nope"]),
        ("file_missing", 2, ["seal", "send", "--seal", "nope"]),
        ("file_missing", 2, ["seal", "cat", "nope"]),
        ("unknown_query", 1, ["query", "nope"]),
        ("bad_argument", 1, ["query", "get"]),
        ("bad_argument", 1, ["query", "get", "key=a", "more=b"]),
        ("timeout", 5, ["query", "get", "key=a", "--height", "9999999", "--timeout", "400ms"]),
        ("not_found", 1, ["block", "show", "9999999"]),
        ("not_found", 1, ["block", "show", "ab" * 32]),
        ("usage", 2, ["block", "show", "nonsense"]),
        ("usage", 2, ["block", "list", "--from", "3", "--to", "2"]),
        ("file_missing", 2, ["block", "verify", "--genesis", "nope"]),
        ("usage", 2, ["wait", "state", "NOPE"]),
        ("usage", 2, ["wait", "seal", "nonsense"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_refusals(net: LocalNet, code: str, exit_code: int, words: list[str]) -> None:
    net.script.refusal(code, exit_code, *words)


def test_refusals_in_text(net: LocalNet) -> None:
    net.script.refusal_text("unknown_operation", 1, "seal", "send", "nope", "key=a")
    net.script.refusal_text("bad_argument", 1, "seal", "send", "put", "key=a")
    net.script.refusal_text("not_found", 1, "block", "show", "9999999")
    net.script.refusal_text("usage", 2, "block", "show", "nonsense")


@pytest.mark.parametrize(
    "line",
    [
        "junk",
        "[1, 2]",
        '{"name": "put"}',
        '{"name": "put", "arguments": [1]}',
        '{"name": 7, "arguments": {}}',
        '{"name": "put", "arguments": {"key": "a", "value": "*not base64*"}}',
        '{"name": "put", "arguments": {"key": 7, "value": "eA=="}}',
        '{"name": "put", "arguments": {"key": "a", "value": "eA=="}} trailing',
    ],
)
def test_a_broken_line_of_operations_is_refused(net: LocalNet, line: str) -> None:
    run = net.script.run("seal", "send", "--file", "-", "--json", stdin=line + "\n")
    error = json.loads(run.out)["error"]
    assert (run.code, error["code"]) == (1, "bad_argument"), str(run)
    assert error["details"] != {}


def test_an_empty_file_of_operations_is_refused(net: LocalNet) -> None:
    run = net.script.run("seal", "send", "--file", "-", "--json", stdin="")
    assert run.code in (1, 2), str(run)


def test_a_seal_too_large_is_refused(net: LocalNet) -> None:
    (net.folder / "large").write_bytes(b"x" * (1024 * 1024 + 1))
    net.script.refusal("seal_too_large", 1, "seal", "send", "put", "key=a", "value=@large")
    many = '{"name":"delete","arguments":{"key":"x"}}\n' * 1001
    run = net.script.run("seal", "send", "--file", "-", "--json", stdin=many)
    assert run.code in (1, 2), str(run)
    assert "error" in json.loads(run.out)
    large = b"x" * (1024 * 1024 - 400)
    (net.folder / "large").write_bytes(large)
    receipt = put(net, "large", "@large")
    height = ("--height", receipt["height"])
    got = net.script.answer(answers.QUERY, "query", "get", "key=large", *height)
    assert base64.b64decode(got["result"]) == large
    put(net, "large", "small")


def test_seals_of_nonsense_are_refused(net: LocalNet) -> None:
    good = net.script.json("seal", "make", "put", "key=n", "value=v", "--out", "good.bin")
    data = base64.b64decode(good["data"])
    kinds = {
        "empty": b"",
        "junk": b"\x93junk",
        "short": data[:-1],
        "long": data + b"\x00",
        "middle": data[: len(data) // 2] + b"\xff" + data[len(data) // 2 + 1 :],
    }
    for name, broken in kinds.items():
        (net.folder / f"{name}.bin").write_bytes(broken)
        for words in (("send", "--seal"), ("cat",)):
            run = net.script.run("seal", *words, f"{name}.bin", "--json")
            answer = json.loads(run.out)
            told = answer.get("error", {}).get("code")
            assert run.code == 1 or (words == ("cat",) and not answer["signature_ok"]), str(run)
            assert told in ("seal_malformed", "bad_signature", None), str(run)
