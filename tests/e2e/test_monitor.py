"""The monitor in tmux, on a real network: a handover by key, a node that goes and comes back."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.local_net import LocalNet, until
from tests.e2e.script import COMMAND
from zmqnode.commands.monitor_record import Recording

TMUX = shutil.which("tmux")
pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")


class Pane:
    """One program in a tmux of its own."""

    def __init__(self, socket: Path, folder: Path) -> None:
        self.tmux = [str(TMUX), "-S", str(socket), "-f", os.devnull]
        self.ended = folder / "exit-code"

    def do(self, *words: str) -> str:
        done = subprocess.run(
            [*self.tmux, *words], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout

    @property
    def text(self) -> str:
        return self.do("capture-pane", "-p", "-t", "m")

    def press(self, *keys: str) -> None:
        self.do("send-keys", "-t", "m", *keys)

    def until(self, *wanted: str) -> None:
        try:
            until(lambda: all(one in self.text for one in wanted), f"{wanted} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None


@contextmanager
def pane(net: LocalNet, *words: str, columns: int, lines: int) -> Iterator[Pane]:
    one = Pane(net.folder / "tmux", net.folder)
    one.ended.unlink(missing_ok=True)
    # Its own shell ends it: what the screen shows then is what a person would see.
    line = f"{shlex.join([*COMMAND, 'monitor', *words])}; echo $? > {one.ended}; sleep 60"
    subprocess.run(
        [*one.tmux, "new-session", "-d", "-s", "m", "-x", str(columns), "-y", str(lines), line],
        cwd=net.folder,
        env={**net.script.environment(), "LC_ALL": "C.UTF-8"},
        check=True,
        timeout=30,
    )
    try:
        yield one
    finally:
        subprocess.run([*one.tmux, "kill-server"], check=False, capture_output=True, timeout=30)


def test_an_operator_hands_over_and_sees_a_node_go_and_come_back(own_net: LocalNet) -> None:
    net = own_net
    net.do("up", "--set", "params.empty_block_interval_ms=250")
    net.do("add-standby", "n0")
    words = ("-t", "n0b", "--control", "--record", "seen.jsonl")
    with pane(net, *words, columns=100, lines=30) as one:
        one.until("● live", "standby", "SYNCING", "8 log")
        assert {len(line) for line in one.text.splitlines() if line.strip()} == {100}
        one.press("H")
        one.until("y / n")
        one.press("y")
        one.until("done (8 of 8)", "CONSENSUS  epoch 1")
        net.do("kill", "n0b")
        one.until("reconnecting, picture", "done (8 of 8)")
        net.do("start", "n0b")
        one.until("● live", "epoch 1")
        one.press("q")
        until(one.ended.exists, "its end")
        until(lambda: one.ended.read_text() == "0\n", "exit 0")
        assert one.text.strip() == ""
    moments = list(Recording(net.folder / "seen.jsonl").moments())
    assert {"standby", "active"} <= {
        moment.node.snapshot.node.role for moment in moments if moment.node.snapshot is not None
    }
    with pane(net, "--all", columns=160, lines=45) as one:
        one.until("nodes 5/5 answer", "n0b")
        net.do("stop", "n3")
        one.until("nodes 4/5 answer", "no answer")
        one.press("q")
        until(one.ended.exists, "its end")
    done = net.script.start("monitor", "--all", "--once", "--json")
    out, _ = done.communicate(timeout=60)
    assert len(json.loads(out)["nodes"]) == 4
