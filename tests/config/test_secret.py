"""Secrets by reference: every kind, every way it can be wrong, and nothing echoed."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from zmqnode.base.keys import PrivateKey
from zmqnode.config.secret import parse_secret, write_secret_file
from zmqnode.errors import Invalid

KEY = PrivateKey(bytes(range(32)))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "node.key"
    write_secret_file(file, KEY.text())
    return file


def test_a_written_key_is_closed_and_comes_back(key_file: Path) -> None:
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert key_file.read_text() == KEY.text() + "\n"
    assert parse_secret(f"file:{key_file}").key() == KEY
    assert parse_secret("file:node.key", key_file.parent).key() == KEY


def test_a_file_is_never_overwritten(key_file: Path) -> None:
    with pytest.raises(FileExistsError):
        write_secret_file(key_file, "other")
    assert key_file.read_text() == KEY.text() + "\n"


def test_a_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_KEY", KEY.text() + "\n")
    assert parse_secret("env:NODE_KEY").key() == KEY


def test_a_key_from_systemd(monkeypatch: pytest.MonkeyPatch, key_file: Path) -> None:
    with pytest.raises(Invalid, match="CREDENTIALS_DIRECTORY"):
        parse_secret("cred:node.key").key()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(key_file.parent))
    key_file.chmod(0o440)  # As systemd does; the folder is closed.
    assert parse_secret("cred:node.key").key() == KEY


def test_a_key_from_stdin_is_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(KEY.text() + "\nmore\n"))
    assert parse_secret("-").key() == KEY


def test_a_literal_key_works_warns_and_is_not_shown() -> None:
    secret = parse_secret(KEY.text())
    assert secret.key() == KEY
    assert secret.warning is not None
    assert KEY.text()[:12] not in secret.shown + repr(secret) + secret.warning
    assert parse_secret("file:x").warning is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601])
def test_a_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(Invalid, match=f"mode {mode:o}") as caught:
        parse_secret(f"file:{key_file}").key()
    assert caught.value.code == "key_invalid"
    assert caught.value.hint == f"chmod 600 {key_file}"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe", b"x" * 5000, b"hello\n"])
def test_a_file_without_a_key_is_refused_and_not_echoed(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    with pytest.raises(Invalid) as caught:
        parse_secret(f"file:{key_file}").key()
    assert caught.value.code == "key_invalid"
    assert "hello" not in str(caught.value)
    assert str(key_file) in caught.value.message


def test_what_is_no_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Invalid, match="no regular file"):
        parse_secret(f"file:{tmp_path}/pipe").key()
    with pytest.raises(Invalid):
        parse_secret(f"file:{tmp_path}").key()
    with pytest.raises(Invalid) as caught:
        parse_secret(f"file:{tmp_path}/none").key()
    assert caught.value.code == "file_missing"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "file:",
        "env:",
        "cred:",
        "cred:a/b",
        "cred:..",
        "hunter2",
        KEY.text()[:-3],
        "vault:x",
    ],
)
def test_what_is_no_reference_is_refused_and_not_echoed(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_secret(text).key()
    assert caught.value.code == "key_invalid"
    assert "hunter2" not in str(caught.value)
    assert KEY.text()[:12] not in str(caught.value)


def test_an_unset_variable_is_named() -> None:
    with pytest.raises(Invalid, match="NO_SUCH_VARIABLE is not set"):
        parse_secret("env:NO_SUCH_VARIABLE").key()
