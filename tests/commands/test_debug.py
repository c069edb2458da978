"""``zmqnode debug dump``: what is in it, and that no secret is, in whatever form."""

from __future__ import annotations

import base64
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.commands.at_door import standing
from tests.runtime.local import lay_out
from zmqnode.base.keys import PrivateKey, base58_decode
from zmqnode.commands.dump import LOG_BYTES_MAX
from zmqnode.commands.main import main
from zmqnode.commands.scrub import FRAGMENT_CHARS, Scrub, forms, keys_of
from zmqnode.config import Config

KEY = PrivateKey(bytes(range(32)))


def seed_of(key: PrivateKey) -> bytes:
    return base58_decode(key.text()[:-3])[1:33]


def secrets_of(key: PrivateKey) -> list[bytes]:
    """What must stand nowhere, worked out without the code under test."""
    found = [key.text().encode(), key.text()[:-3].encode()]
    for raw in (seed_of(key), key.curve_secret()):
        found += [raw, raw.hex().encode(), raw.hex().upper().encode(), raw[::-1]]
        found += [base64.b64encode(raw)[:43], base64.urlsafe_b64encode(raw)[:43]]
    return found


def assert_clean(data: bytes, keys: list[PrivateKey]) -> None:
    for key in keys:
        for secret in secrets_of(key):
            for at in range(len(secret) - FRAGMENT_CHARS + 1):
                assert secret[at : at + FRAGMENT_CHARS] not in data


def opened(file: Path) -> dict[str, bytes]:
    """The files of an archive, by name."""
    with tarfile.open(file) as archive:
        found = {}
        for member in archive:
            data = archive.extractfile(member)
            assert data is not None
            found[member.name] = data.read()
        return found


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZMQNODE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def dumped(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["debug", "dump", *words, "--json"])
    out, _ = capsys.readouterr()
    return code, json.loads(out)


def folder_of_secrets(home: Path) -> tuple[Path, list[PrivateKey]]:
    """A node's folder whose every key is in its log, in every form, whole and in pieces."""
    (folder, _) = lay_out(home / "net", nodes=2)
    made = {
        folder / "admin.key": PrivateKey(os.urandom(32)),
        folder / "instance.key.next": PrivateKey(os.urandom(32)),
        home / "net" / "client.key": PrivateKey(os.urandom(32)),
    }
    for file, key in made.items():
        file.write_text(key.text() + "\n")
        file.chmod(0o600)
    keys = list(keys_of(Config.load(folder)))
    assert len(keys) == 2 + len(made)  # Its identity and its instance beside them.
    lines = ["an ordinary line"]
    for key in keys:
        for form in forms(key):
            lines += [form, f"tcp://{form}@host", f"x{form}y", form[:20], form[-20:], form[7:30]]
        lines += [key.text(), "1" * 2000 + key.text(), json.dumps({"message": key.text()})]
    (folder / "node.log").write_text("\n".join(lines) + "\nthe last line\n")
    return folder, keys


def test_no_secret_of_the_folder_is_in_the_archive(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, keys = folder_of_secrets(home)
    code, answer = dumped(capsys, "-t", str(folder), "--out", "d.tar.gz")
    assert code == 0
    assert answer["file"] == "d.tar.gz"
    file = home / "d.tar.gz"
    assert answer["size_bytes"] == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    files = opened(file)
    assert sorted(files) == [f"d/{name}" for name in sorted(answer["files"])]
    for data in files.values():
        assert_clean(data, keys)
    log = files["d/node.log"].decode()
    assert log.startswith("an ordinary line\n")
    assert log.endswith("\nthe last line\n")
    report = json.loads(files["d/report.json"])
    assert report["config"]["privatekey"] == "file:node.key"
    assert {one["path"] for one in report["folder"]["files"]} >= {"node.key", "instance.key"}
    assert report["folder"]["disk"]["free_bytes"] > 0
    assert b"entries" in files["d/genesis.yml"]


def test_a_literal_key_and_one_in_the_environment_stay_secret(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder, other) = lay_out(home / "net", nodes=2)
    for one, reference in ((folder, None), (other, "env:TEST_KEY")):
        text = (one / "node.yml").read_text()
        key = PrivateKey(seed_of(next(iter(keys_of(Config.load(one))))))
        identity = Config.load(one).privatekey.key()
        (one / "node.key").unlink()
        monkeypatch.setenv("TEST_KEY", identity.text())
        written = text.replace("file:node.key", reference or identity.text())
        assert written != text
        (one / "node.yml").write_text(written)
        (one / "node.log").write_text(f"by mistake: {seed_of(identity).hex()}\n")
        code, answer = dumped(capsys, "-t", str(one), "--out", f"{one.name}.tar.gz")
        assert code == 0, answer
        for data in opened(home / f"{one.name}.tar.gz").values():
            assert_clean(data, [identity, key])


def test_a_node_that_does_not_answer_is_said_to(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder, *_) = lay_out(home / "net", nodes=1)
    code, answer = dumped(capsys, "-t", str(folder))
    assert code == 0
    assert {(one["what"], one["code"]) for one in answer["missing"]} == {
        ("node", "unreachable"),
        ("node.log", "file_missing"),
    }
    assert answer["file"].startswith("zmqnode-dump-n0sas-")
    files = opened(home / answer["file"])
    (report,) = (json.loads(data) for name, data in files.items() if name.endswith("report.json"))
    assert report["node"] is None
    assert report["missing"] == answer["missing"]
    assert report["versions"]["zmqnode"] == "0.1.0"


def test_a_running_node_tells_where_it_stands(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with standing() as node:
        node.do(node.node.commit)
        there = node.chain.target()
        code, answer = dumped(capsys, "-t", there, "--out", "n.tar.gz")
        assert (code, answer["missing"], answer["files"]) == (0, [], ["report.json"])
        report = json.loads(opened(home / "n.tar.gz")["n/report.json"])
        assert report["node"]["height"] == 1
        assert [one["height"] for one in report["blocks"]] == [0, 1]
        assert report["peers"][0]["address"] == "n1sas"
        assert report["picture"]["log"][0]["text"] == "started"
        assert report["config"] is None
        code, answer = dumped(capsys, "-t", there, "--out", "n.tar.gz")
        assert (code, answer["error"]["code"]) == (1, "already_exists")
        code, answer = dumped(capsys, "-t", there, "--out", "no/such/n.tar.gz")
        assert (code, answer["error"]["code"]) == (2, "file_missing")
        assert main(["debug", "dump", "-t", there, "--out", "m.tar.gz"]) == 0
        out, err = capsys.readouterr()
        assert "m.tar.gz" in out
        assert err == ""
    code, answer = dumped(capsys, "-t", there, "--out", "o.tar.gz")
    assert (code, answer["error"]["code"]) == (3, "unreachable")
    assert not (home / "o.tar.gz").exists()


def test_the_end_of_a_long_log_begins_with_a_whole_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder, *_) = lay_out(home / "net", nodes=1)
    line = "0123456789" * 9 + "\n"
    (folder / "node.log").write_text(line * (2 * LOG_BYTES_MAX // len(line)))
    code, _ = dumped(capsys, "-t", str(folder), "--out", "d.tar.gz")
    log = opened(home / "d.tar.gz")["d/node.log"].decode()
    assert code == 0
    assert LOG_BYTES_MAX - len(line) <= len(log) <= LOG_BYTES_MAX
    assert set(log.splitlines(keepends=True)) == {line}


@given(st.data())
def test_scrubbing_finds_any_piece_and_leaves_the_rest(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(forms(KEY)))
    start = data.draw(st.integers(0, len(form) - FRAGMENT_CHARS))
    end = data.draw(st.integers(start + FRAGMENT_CHARS, len(form)))
    before, after = data.draw(st.text("ab ", max_size=30)), data.draw(st.text("ab ", max_size=30))
    cleaned = Scrub([KEY]).clean(before + form[start:end] + after)
    assert form[start : start + FRAGMENT_CHARS] not in cleaned
    assert form[end - FRAGMENT_CHARS : end] not in cleaned
    assert Scrub([KEY]).clean(before + after) == before + after
