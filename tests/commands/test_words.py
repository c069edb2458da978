"""The commands that need no node: key, config, ctx, version."""

from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from zmqnode.base.keys import PrivateKey
from zmqnode.commands.main import WORDS, main

MITUM_KEY = "KyfqCLSEyfUhskZ63WtVH3m3pGgnurFHuTgkgu73Pgyjf8sxbp8Rmpr"
MITUM_PUBLIC = "GkhMcC4LDk22FsRGoQ4qAjuZ2BZERof7VSfmNy9HfW3F3MpQvmpu"
SAMPLES = Path(__file__).parents[2] / "conf"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Run:
    """One command line, run with ``--json``: exit code and object, or plainly: the streams."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.err = ""

    def json(self, *words: str) -> tuple[int, dict[str, Any]]:
        code = main([*words, "--json"])
        out, self.err = self.capsys.readouterr()
        assert out.count("\n") == 1
        answer = json.loads(out)
        assert next(iter(answer)) == "v"
        assert answer.pop("v") == 1
        return code, answer

    def text(self, *words: str) -> tuple[int, str, str]:
        code = main(list(words))
        return code, *self.capsys.readouterr()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


def test_a_new_key_is_closed_and_never_overwritten(run: Run, tmp_path: Path) -> None:
    code, made = run.json("key", "new", "n.key")
    assert code == 0
    assert list(made) == ["publickey"]
    assert stat.S_IMODE((tmp_path / "n.key").stat().st_mode) == 0o600
    assert run.json("key", "show", "file:n.key") == (0, made)
    code, answer = run.json("key", "new", "n.key")
    assert (code, answer["error"]["code"]) == (1, "already_exists")
    assert run.json("key", "show", "file:n.key") == (0, made)
    code, answer = run.json("key", "new", "no/folder.key")
    assert (code, answer["error"]["code"]) == (2, "file_missing")


def test_the_key_of_mitums_page_gives_its_public_key(run: Run) -> None:
    assert run.json("key", "show", MITUM_KEY) == (0, {"publickey": MITUM_PUBLIC})
    assert run.err.count("\n") == 1
    assert run.err.startswith("warning: ")
    assert MITUM_KEY[:12] not in run.err


def test_a_signed_file_verifies_and_a_changed_one_does_not(run: Run, tmp_path: Path) -> None:
    run.json("key", "new", "n.key")
    (tmp_path / "f").write_bytes(b"hello")
    code, signed = run.json("key", "sign", "file:n.key", "f")
    assert code == 0
    assert len(signed["signature"]) == 128
    words = ("key", "verify", signed["publickey"], signed["signature"])
    assert run.json(*words, "f") == (0, {"ok": True})
    (tmp_path / "f").write_bytes(b"hellp")
    assert run.json(*words, "f") == (1, {"ok": False})
    short = ("key", "verify", signed["publickey"], signed["signature"][:-2], "f")
    assert run.json(*short) == (1, {"ok": False})
    assert run.json("key", "verify", MITUM_PUBLIC, signed["signature"], "f") == (1, {"ok": False})
    for bad, name in (("zz", "usage"), ("", "usage")):
        code, answer = run.json("key", "verify", signed["publickey"], bad or "z", "f")
        assert (code, answer["error"]["code"]) == (2, name)
    code, answer = run.json(*words, "none")
    assert (code, answer["error"]["code"]) == (2, "file_missing")


def test_signing_reads_stdin_without_a_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.json("key", "new", "n.key")
    Path("f").write_bytes(b"hello")
    _, of_file = run.json("key", "sign", "file:n.key", "f")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"hello")))
    assert run.json("key", "sign", "file:n.key") == (0, of_file)
    code, answer = run.json("key", "sign", "-")
    assert (code, answer["error"]["code"]) == (2, "usage")


def test_a_file_signature_is_none_over_the_bare_bytes(run: Run) -> None:
    """Nobody is brought to sign a vote by being handed a file that looks like one."""
    Path("f").write_bytes(b"hello")
    _, signed = run.json("key", "sign", MITUM_KEY, "f")
    from zmqnode.base.keys import parse_private

    assert signed["signature"] != parse_private(MITUM_KEY).sign(b"hello").hex()


def test_a_private_key_where_a_public_one_belongs_is_not_echoed(run: Run) -> None:
    code, answer = run.json("key", "verify", MITUM_KEY, "00", "f")
    assert (code, answer["error"]["code"]) == (2, "key_invalid")
    assert MITUM_KEY[:12] not in json.dumps(answer) + run.err


def test_config_check_says_ok(run: Run) -> None:
    file = str(SAMPLES / "node.minimal.yml")
    assert run.json("config", "check", file) == (0, {"ok": True, "file": file, "findings": []})
    assert run.text("config", "check", file) == (0, f"{file}: ok\n", "")
    genesis = str(SAMPLES / "networks" / "four" / "genesis.yml")
    assert run.json("config", "check", genesis)[0] == 0


def test_config_check_names_line_and_column(run: Run) -> None:
    Path("node.yml").write_text(
        "address: n0sas\nnetwork-id: x\nprivatekey: file:k\nnetwork:\n  ulr: tcp://h:1\n"
    )
    code, answer = run.json("config", "check")
    assert code == 2
    assert answer == {
        "ok": False,
        "file": "node.yml",
        "findings": [
            {
                "file": "node.yml",
                "line": 5,
                "column": 3,
                "path": "network.ulr",
                "message": "no such key",
                "suggestion": "network.url",
            },
            {
                "file": "node.yml",
                "line": 5,
                "column": 3,
                "path": "network.url",
                "message": "is missing: the client door, tcp://HOST:PORT",
                "suggestion": None,
            },
        ],
    }
    code, out, err = run.text("config", "check")
    assert (code, err) == (2, "")
    assert out == (
        "node.yml:5:3: network.ulr: no such key (did you mean network.url?)\n"
        "node.yml:5:3: network.url: is missing: the client door, tcp://HOST:PORT\n"
    )
    code, answer = run.json("config", "show")
    assert (code, answer["error"]["code"]) == (2, "config_invalid")
    assert len(answer["error"]["details"]["findings"]) == 2


def test_a_file_that_is_not_there(run: Run) -> None:
    code, answer = run.json("config", "check")
    assert (code, answer["error"]["code"]) == (2, "file_missing")


def test_config_show_has_values_origins_and_no_secret(run: Run) -> None:
    code, answer = run.json("config", "show", str(SAMPLES / "node.mitum.yml"))
    assert code == 0
    assert answer["config"]["network"]["url"] == "tcp://127.0.0.1:54321"
    assert answer["config"]["privatekey"] == "(a private key, not shown)"
    assert answer["origin"]["address"].endswith("node.mitum.yml:3:10")
    assert answer["origin"]["log.level"] == "default"
    assert MITUM_KEY[:12] not in json.dumps(answer) + run.err
    code, out, _ = run.text("config", "show", str(SAMPLES / "node.mitum.yml"), "--origin")
    assert code == 0
    assert "default" in out
    assert MITUM_KEY[:12] not in out


def test_config_schema_is_one_of_json_schema(run: Run) -> None:
    code, schema = run.json("config", "schema")
    assert code == 0
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert json.loads(run.text("config", "schema")[1]) == schema


def test_contexts_are_added_listed_and_removed(run: Run, tmp_path: Path) -> None:
    assert run.json("ctx", "list") == (0, {"contexts": []})
    url = f"tcp://{MITUM_PUBLIC}@10.0.0.1:4000"
    first = {"name": "a", "target": url, "sign": None}
    assert run.json("ctx", "add", "a", url) == (0, first)
    second = {"name": "b", "target": f"{tmp_path}/n0", "sign": f"file:{tmp_path}/k"}
    assert run.json("ctx", "add", "b", "./n0", "--sign", "file:k") == (0, second)
    assert run.json("ctx", "list") == (0, {"contexts": [first, second]})
    code, answer = run.json("ctx", "add", "a", url)
    assert (code, answer["error"]["code"]) == (1, "already_exists")
    assert run.json("ctx", "rm", "a") == (0, first)
    code, answer = run.json("ctx", "rm", "a")
    assert (code, answer["error"]["code"]) == (2, "unknown_context")
    assert run.json("ctx", "list") == (0, {"contexts": [second]})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("a", "tcp://h:1", "--sign", MITUM_KEY), "key_invalid"),
        (("a", f"tcp://{MITUM_KEY}@h:1"), "key_invalid"),
        (("a", "nothing"), "no_target"),
        (("a/b", "tcp://h:1"), "usage"),
        ((MITUM_KEY, "tcp://h:1"), "usage"),
    ],
)
def test_a_context_keeps_no_key(
    run: Run, tmp_path: Path, words: tuple[str, ...], code: str
) -> None:
    exit_code, answer = run.json("ctx", "add", *words)
    assert (exit_code, answer["error"]["code"]) == (2, code)
    shown = json.dumps(answer) + run.err
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.yml"))
    assert MITUM_KEY[:12] not in shown + kept


def test_a_damaged_contexts_file_is_named(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home-of-the-test"
    home.mkdir()
    (home / "contexts.yml").write_text("a:\n  taget: tcp://h:1\n")
    code, answer = run.json("ctx", "list")
    assert (code, answer["error"]["code"]) == (2, "config_invalid")
    assert (
        "contexts.yml:2:3: a.taget: no such key (did you mean a.target?)"
        in (answer["error"]["message"])
    )


def test_version_names_what_it_stands_on(run: Run) -> None:
    code, answer = run.json("version")
    assert code == 0
    assert list(answer) == ["version", "protocol", "python", "pyzmq", "libzmq", "pynacl"]
    assert answer["python"] == ".".join(map(str, sys.version_info[:3]))
    assert isinstance(answer["protocol"], int)


def test_keys_differ(run: Run) -> None:
    _, one = run.json("key", "new", "a.key")
    _, two = run.json("key", "new", "b.key")
    assert one != two
    assert PrivateKey(bytes(32)).text() not in Path("a.key").read_text()


def test_the_help_of_the_root_leads_a_newcomer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.split("Commands:\n")[1]
    assert [line.split()[0] for line in listed.splitlines()] == [word.name for word in WORDS]
