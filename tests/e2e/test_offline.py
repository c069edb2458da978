"""Sections 1, 4 and 9: everything that needs no network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e import answers
from tests.e2e.script import Script

MITUM_PRIVATE = "KyfqCLSEyfUhskZ63WtVH3m3pGgnurFHuTgkgu73Pgyjf8sxbp8Rmpr"
MITUM_PUBLIC = "GkhMcC4LDk22FsRGoQ4qAjuZ2BZERof7VSfmNy9HfW3F3MpQvmpu"


def make_key(script: Script, name: str = "a.key") -> str:
    return str(script.answer(answers.PUBLIC_KEY, "key", "new", name)["publickey"])


def secret(script: Script, name: str = "a.key") -> str:
    return (script.folder / name).read_text().strip()


def test_the_version(script: Script) -> None:
    answer = script.answer(answers.VERSION, "version")
    assert answer["version"] in script.text("version")


def test_no_command_needs_a_word_of_help_twice(script: Script) -> None:
    for words in ([], ["testnet"], ["testnet", "up"], ["seal", "send"], ["node", "run"]):
        assert script.text(*words, "-h") == script.text(*words, "--help") != ""


def test_a_key_is_made_once_and_closed_to_others(script: Script) -> None:
    public = make_key(script)
    file = script.folder / "a.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().endswith("mpr\n")
    assert script.answer(answers.PUBLIC_KEY, "key", "show", "file:a.key")["publickey"] == public
    assert public in script.text("key", "show", "file:a.key")
    before = file.read_text()
    script.refusal("already_exists", 1, "key", "new", "a.key")
    script.refusal_text("already_exists", 1, "key", "new", "a.key")
    script.refusal("already_exists", 1, "key", "new", ".")
    assert file.read_text() == before


def test_secrets_come_in_every_form(script: Script) -> None:
    public = make_key(script)
    text = secret(script)
    credentials = script.folder / "credentials"
    credentials.mkdir(mode=0o700)
    (credentials / "node").write_text(text + "\n")
    (credentials / "node").chmod(0o600)
    variables = {"THE_KEY": text, "CREDENTIALS_DIRECTORY": str(credentials)}
    telling = Script(folder=script.folder, variables=variables)
    for reference in ("env:THE_KEY", "cred:node", "file:a.key"):
        assert telling.json("key", "show", reference)["publickey"] == public
    assert script.json("key", "show", "-", stdin=f"{text}\nmore\n")["publickey"] == public


def test_a_literal_key_works_with_one_warning_and_is_not_echoed(script: Script) -> None:
    run = script.run("key", "show", MITUM_PRIVATE, "--json")
    assert json.loads(run.out) == {"v": 1, "publickey": MITUM_PUBLIC}
    assert run.err.startswith("warning: ")
    assert run.err.count("\n") == 1
    assert MITUM_PRIVATE not in run.out + run.err


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("file:nope", "file_missing"),
        ("env:NOPE", "key_invalid"),
        ("cred:nope", "key_invalid"),
        ("garbage", "key_invalid"),
        (MITUM_PUBLIC, "key_invalid"),
        (MITUM_PRIVATE[:-4] + "9mpr", "key_invalid"),
        ("-", "key_invalid"),
    ],
)
def test_a_wrong_reference_is_refused(script: Script, reference: str, code: str) -> None:
    script.refusal(code, 2, "key", "show", reference)
    told = script.refusal_text(code, 2, "key", "show", reference)
    assert MITUM_PRIVATE[:20] not in told


def test_a_key_file_open_to_others_is_refused(script: Script) -> None:
    make_key(script)
    (script.folder / "a.key").chmod(0o640)
    script.refusal("key_invalid", 2, "key", "show", "file:a.key")
    assert secret(script) not in script.refusal_text("key_invalid", 2, "key", "show", "file:a.key")


def test_signatures_are_checked(script: Script) -> None:
    public = make_key(script)
    (script.folder / "letter").write_text("the letter")
    signed = script.answer(answers.SIGNATURE, "key", "sign", "file:a.key", "letter")
    assert signed["publickey"] == public
    signature = signed["signature"]
    assert bytes.fromhex(signature)
    verify = ("key", "verify", public)
    assert script.answer(answers.OK, *verify, signature, "letter")["ok"]
    assert script.answer(answers.OK, *verify, signature, stdin="the letter")["ok"]
    bad = signature[:-2] + ("00" if signature[-2:] != "00" else "01")
    assert not script.answer(answers.OK, *verify, bad, "letter", code=1)["ok"]
    assert not script.answer(answers.OK, *verify, signature, stdin="a letter", code=1)["ok"]
    assert not script.answer(
        answers.OK, "key", "verify", MITUM_PUBLIC, signature, "letter", code=1
    )["ok"]
    script.refusal("file_missing", 2, *verify, signature, "nope")


def test_a_private_key_in_place_of_a_public_one_is_never_shown(script: Script) -> None:
    words = ("key", "verify", MITUM_PRIVATE, "00" * 64)
    script.refusal("key_invalid", 2, *words)
    assert MITUM_PRIVATE not in script.refusal_text("key_invalid", 2, *words)
    target = f"tcp://{MITUM_PRIVATE}@127.0.0.1:2000"
    assert MITUM_PRIVATE not in script.refusal_text("key_invalid", 2, "node", "info", "-t", target)


@pytest.mark.parametrize(
    "words",
    [
        ["nope"],
        ["node"],
        ["node", "nope"],
        ["node", "info", "--nope"],
        ["node", "info", "--json", "--nope"],
        ["node", "info", "--timeout", "soon"],
        ["node", "info", "--timeout", "-1s"],
        ["key", "new"],
        ["key", "new", "a", "b"],
        ["seal", "send"],
        ["seal", "send", "put", "key=a", "--file", "f"],
        ["query"],
        ["testnet", "up", "--nodes", "many"],
        ["testnet", "up", "--nodes", "0"],
        ["testnet", "load", "--rate", "-1"],
    ],
    ids=" ".join,
)
def test_what_the_parser_refuses_is_plain_text(script: Script, words: list[str]) -> None:
    script.usage(*words)


def init(script: Script, name: str, port: int = 21_000, **kinds: str) -> dict[str, object]:
    options = {"--address": f"{name}sas", "--network-id": "e2e", **kinds}
    words = [word for pair in options.items() for word in pair]
    url = f"tcp://127.0.0.1:{port}"
    return script.answer(answers.NODE_INIT, "node", "init", name, *words, "--url", url)


def test_a_node_folder_is_made_once(script: Script) -> None:
    made = init(script, "n0")
    folder = script.folder / "n0"
    files = made["files"]
    assert isinstance(files, list)
    assert {Path(str(file)).name for file in files} >= {"node.yml", "node.key", "entry.yml"}
    assert (folder / "node.key").stat().st_mode & 0o777 == 0o600
    shown = script.answer(answers.PUBLIC_KEY, "key", "show", "file:n0/node.key")
    assert shown["publickey"] == made["publickey"] != made["instance"]
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    words = ["--address", "n0sas", "--network-id", "e2e", "--url", "tcp://127.0.0.1:21000"]
    script.refusal("already_exists", 1, "node", "init", "n0", *words)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_node_folder_takes_a_key_by_reference(script: Script) -> None:
    public = make_key(script)
    made = init(script, "n0", **{"--privatekey": "file:a.key"})
    assert made["publickey"] == public
    assert not (script.folder / "n0" / "node.key").exists()
    config = script.answer(answers.CONFIG_SHOW, "config", "show", "n0/node.yml")["config"]
    assert secret(script) not in json.dumps(config)
    script.answer(answers.CONFIG_CHECK, "config", "check", "n0/node.yml")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--url", "http//nonsense"),
        ("--url", "tcp://127.0.0.1:99999"),
        ("--url", "tcp://127.0.0.1"),
        ("--address", "without-suffix"),
        ("--network-id", ""),
    ],
)
def test_a_node_folder_of_nonsense_is_refused(script: Script, option: str, value: str) -> None:
    options = {
        "--address": "n0sas",
        "--network-id": "e2e",
        "--url": "tcp://127.0.0.1:21000",
        option: value,
    }
    words = [word for pair in options.items() for word in pair]
    run = script.run("node", "init", "n0", *words, "--json")
    assert run.code == 2, str(run)
    assert not (script.folder / "n0" / "node.yml").exists()


def test_a_genesis_is_assembled_shown_and_verified(script: Script) -> None:
    for index in range(4):
        init(script, f"n{index}", 21_000 + 3 * index)
    entries = [f"n{index}/entry.yml" for index in range(4)]
    words = ("genesis", "assemble", *entries, "--out", "genesis.yml")
    made = script.answer(answers.GENESIS, *words, "--set", "params.empty_block_interval_ms=7")
    assert (made["n"], made["f"], made["q"]) == (4, 1, 3)
    assert made["params"]["empty_block_interval_ms"] == 7
    shown = script.answer(answers.GENESIS, "genesis", "show", "genesis.yml")
    assert shown["genesis_hash"] == made["genesis_hash"]
    assert script.answer(answers.GENESIS_VERIFY, "genesis", "verify", "genesis.yml") == {
        "v": 1,
        "ok": True,
        "findings": [],
    }
    script.refusal("already_exists", 1, *words)
    file = script.folder / "genesis.yml"
    file.write_text(file.read_text().replace("tcp://127.0.0.1:21003", "tcp://127.0.0.1:21004"))
    found = script.answer(answers.GENESIS_VERIFY, "genesis", "verify", "genesis.yml", code=1)
    assert not found["ok"]
    assert found["findings"] != []


def test_a_genesis_of_foreign_or_broken_entries_is_refused(script: Script) -> None:
    init(script, "n0")
    init(script, "n1", 21_003, **{"--network-id": "another"})
    both = ("n0/entry.yml", "n1/entry.yml")
    script.refusal("network_mismatch", 1, "genesis", "assemble", *both, "--out", "g.yml")
    one = ("genesis", "assemble", "n0/entry.yml", "--out", "g.yml")
    script.refusal("config_invalid", 2, *one, "n0/entry.yml")
    script.refusal("config_invalid", 2, *one, "--set", "params.nope=1")
    script.refusal("config_invalid", 2, *one, "--set", "params.seal_ttl_ms=long")
    script.refusal("config_invalid", 2, *one, "--set", "params.activation_lag=3")
    script.refusal("file_missing", 2, *one, "nope.yml")
    (script.folder / "broken.yml").write_text("address: [")
    script.refusal("config_invalid", 2, *one, "broken.yml")
    assert not (script.folder / "g.yml").exists()


BROKEN_FILES = {
    "broken": "address: [\n",
    "duplicate": "address: n0sas\naddress: n1sas\n",
    "unknown": "address: n0sas\nadress: n0sas\n",
    "type": "address: n0sas\nnetwork-id: [1]\n",
    "list": "- a\n- b\n",
    "empty": "",
    "binary": "\x00\x01",
    "deep": "[" * 2000,
    "anchor": "address: &a n0sas\nnetwork-id: *a\nnetwork: {url: 3}\n",
}


@pytest.mark.parametrize("kind", BROKEN_FILES)
def test_findings_name_the_line(script: Script, kind: str) -> None:
    (script.folder / "node.yml").write_text(BROKEN_FILES[kind])
    found = script.answer(answers.CONFIG_CHECK, "config", "check", "node.yml", code=2)
    assert not found["ok"]
    assert found["findings"] != []
    first = found["findings"][0]
    run = script.run("config", "check", "node.yml")
    assert run.code == 2
    place = f"{first['file']}:{first['line']}:{first['column']}: "
    assert place in run.out + run.err, str(run)
    details = script.refusal("config_invalid", 2, "config", "show", "node.yml")
    assert details["findings"] != []
    script.refusal_text("config_invalid", 2, "node", "run", "node.yml")


def test_a_misspelt_key_gets_a_suggestion(script: Script) -> None:
    init(script, "n0")
    file = script.folder / "n0" / "node.yml"
    file.write_text(file.read_text() + "standbi:\n  auto: true\n")
    found = script.answer(answers.CONFIG_CHECK, "config", "check", "n0/node.yml", code=2)
    assert "standby" in str(found["findings"][0]["suggestion"])


def test_a_good_file_has_no_findings_and_shows_its_defaults(script: Script) -> None:
    init(script, "n0")
    checked = script.answer(answers.CONFIG_CHECK, "config", "check", "n0/node.yml")
    assert checked["ok"]
    assert checked["findings"] == []
    shown = script.answer(answers.CONFIG_SHOW, "config", "show", "n0/node.yml", "--origin")
    text = script.text("config", "show", "n0/node.yml")
    for where in (json.dumps(shown), text):
        assert secret(script, "n0/node.key") not in where
    assert shown["origin"] != {}
    assert all(isinstance(origin, str) for origin in shown["origin"].values())


def test_mitums_page_loads_as_it_is(script: Script) -> None:
    (script.folder / "node.yml").write_text(
        "address: Asas\nnetwork-id: mitum\nprivatekey: "
        f"{MITUM_PRIVATE}\nnetwork:\n  url: https://127.0.0.1:54321\n"
    )
    (script.folder / "node.yml").chmod(0o600)
    assert script.answer(answers.CONFIG_CHECK, "config", "check", "node.yml")["ok"]
    run = script.run("config", "show", "node.yml", "--json")
    assert MITUM_PRIVATE not in run.out + run.err, str(run)
    assert "tcp://127.0.0.1:54321" in run.out


def test_the_schema_is_one(script: Script) -> None:
    schema = script.json("config", "schema")
    assert "properties" in schema
    assert "address" in schema["properties"]


def test_contexts_are_kept_and_forgotten(script: Script) -> None:
    target = f"tcp://{MITUM_PUBLIC}@127.0.0.1:2000"
    make_key(script)
    script.answer(answers.CONTEXT, "ctx", "add", "far", target)
    added = script.answer(answers.CONTEXT, "ctx", "add", "signed", target, "--sign", "file:a.key")
    assert added["sign"] is not None
    listed = script.answer(answers.CONTEXTS, "ctx", "list")
    assert [one["name"] for one in listed["contexts"]] == ["far", "signed"]
    assert script.refusal("unreachable", 3, "node", "info", "-t", "far")["connected"] is False
    script.refusal("already_exists", 1, "ctx", "add", "far", target)
    script.answer(answers.CONTEXT, "ctx", "rm", "far")
    script.refusal("unknown_context", 2, "ctx", "rm", "far")
    script.refusal("unknown_context", 2, "node", "info", "-t", "far")


def test_a_context_holds_no_literal_key(script: Script) -> None:
    target = f"tcp://{MITUM_PUBLIC}@127.0.0.1:2000"
    told = script.refusal_text(
        "key_invalid", 2, "ctx", "add", "far", target, "--sign", MITUM_PRIVATE
    )
    assert MITUM_PRIVATE not in told
    home = script.folder / "home-of-the-test"
    kept = [file for file in home.rglob("*") if file.is_file()]
    assert all(MITUM_PRIVATE not in file.read_text() for file in kept)


def test_without_a_target_there_is_a_hint(script: Script) -> None:
    script.refusal("no_target", 2, "node", "info")
    assert "testnet up" in script.refusal_text("no_target", 2, "node", "info")
    script.refusal("unknown_context", 2, "node", "info", "-t", "nope")
    script.refusal("file_missing", 2, "node", "info", "-t", "./nope")
    script.refusal("file_missing", 2, "testnet", "status")


def test_a_seeded_run_says_the_same_twice(script: Script) -> None:
    words = ("sim", "run", "--seeds", "0..2", "--heights", "5")
    first = script.answer(answers.SIM_RUN, *words)
    assert (first["ok"], first["passed"], first["first_seed"], first["last_seed"]) == (
        True,
        3,
        0,
        2,
    )
    assert script.answer(answers.SIM_RUN, *words)["digest"] == first["digest"]
    other = script.answer(answers.SIM_RUN, "sim", "run", "--seeds", "3..4", "--heights", "5")
    assert other["digest"] != first["digest"]
    script.usage("sim", "run", "--seeds", "nonsense")
    script.refusal("file_missing", 2, "sim", "replay", "nope.json")
    (script.folder / "junk.json").write_text("{junk")
    run = script.run("sim", "replay", "junk.json", "--json")
    assert run.code in (1, 2), str(run)


def test_an_application_is_begun_and_checked(script: Script) -> None:
    made = script.answer(answers.APP_NEW, "app", "new", "shop")
    assert all((script.folder / file).exists() for file in made["files"])
    checked = script.answer(answers.APP_CHECK, "app", "check", "shop:app")
    assert checked["ok"], checked
    (script.folder / "bad.py").write_text(
        "import random\nfrom zmqnode import App\napp = App('bad', version=1)\n\n"
        "@app.op\ndef roll(ctx, key: str):\n    ctx.state[key] = str(random.random())\n"
    )
    found = script.answer(answers.APP_CHECK, "app", "check", "bad:app", code=1)
    assert not found["ok"]
    assert found["findings"] != []
    for words in (["nope:app"], ["bad:nope"], ["bad"]):
        run = script.run("app", "check", *words, "--json")
        assert run.code in (1, 2), str(run)
