"""The built-in application, through a trial chain."""

import pytest

from zmqnode.app.trial import TRIAL_SENDER, Trial
from zmqnode.apps import kv
from zmqnode.base.results import OK
from zmqnode.errors import Invalid, Refused


def test_put_append_delete() -> None:
    trial = Trial(kv.app)
    assert trial.query("get", key="a") is None
    assert trial.run("put", key="a", value=b"1") == OK
    assert trial.run("append", key="a", value=b"2") == OK
    assert trial.run("append", key="b", value=b"3") == OK
    assert trial.query("get", key="a") == b"12"
    assert trial.query("keys") == ["a", "b"]
    assert trial.query("keys", prefix="b") == ["b"]
    assert trial.run("delete", key="a") == OK
    assert trial.query("keys") == ["b"]
    assert trial.run("delete", key="a") == (False, "no such key", ())
    assert trial.height == 5


def test_a_value_cannot_grow_for_ever() -> None:
    trial = Trial(kv.app)
    assert trial.run("put", key="a", value=bytes(kv.VALUE_BYTES_MAX)) == OK
    ok, reason, _ = trial.run("append", key="a", value=b"1")
    assert (ok, reason) == (False, "value would exceed 1000000 bytes")
    assert trial.query("get", key="a") == bytes(kv.VALUE_BYTES_MAX)


def test_an_answer_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv, "KEYS_MAX", 3)
    trial = Trial(kv.app)
    for key in ("a", "b", "c"):
        trial.run("put", key=key, value=b"")
    assert trial.query("keys") == ["a", "b", "c"]
    trial.run("put", key="d", value=b"")
    with pytest.raises(Refused, match="ask for a longer prefix"):
        trial.query("keys")
    assert trial.query("keys", prefix="a") == ["a"]


def test_a_trial_refuses_what_a_client_would() -> None:
    trial = Trial(kv.app)
    assert trial.admits("put", key="a", value=b"1")
    with pytest.raises(Refused, match="no operation"):
        trial.run("push", key="a")
    with pytest.raises(Refused, match="expected bytes"):
        trial.run("put", key="a", value="1")
    assert trial.block([["push", []]], TRIAL_SENDER).results[0][1] == "unknown_operation"
    with pytest.raises(Invalid, match="takes no genesis data"):
        Trial(kv.app, genesis=b"x")
