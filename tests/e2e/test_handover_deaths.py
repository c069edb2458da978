"""Who dies, stops or is stopped while a handover is on its way; who proposes at its switch.

The old copy's operator is asked for consent here, so that a test decides when it is given. What
shall happen before the commit happens while two of four members are paused: nothing is decided.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.answers import SESSION
from tests.e2e.conftest import net_in
from tests.e2e.copies import (
    QUICK,
    Moved,
    end_of,
    ends_well,
    history,
    other_copy,
    settle,
    submit,
    until_phase,
    watched,
)
from tests.e2e.local_net import LocalNet, alive, until
from tests.e2e.writers import Writers, check_promises
from zmqnode import Client

TURNS_MAX = 12
OTHERS = ("n2", "n3")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNet]:
    """Four nodes and a second copy of n0; whoever votes for n0sas when a test begins, may."""
    net = net_in(tmp_path_factory.mktemp("deaths"))
    # So that what is between the commit and the switch takes its time, and can be met.
    interval = ("--set", "params.block_interval_ms=400", "--set", "handover.consent=ask")
    net.do("up", *QUICK, *interval)
    net.do("add-standby", "n0")
    yield net
    net.end()


def waiting(net: LocalNet) -> tuple[str, str, int, subprocess.Popen[str]]:
    """A handover that waits for the old copy's operator: old, new, epoch, and who watches it."""
    settle(net)
    old, new, epoch = other_copy(net)
    begun = watched(net, new)
    until_phase(begun, "ready")
    until(lambda: "operator" in str(status(net, old).waits_for), "the operator is asked")
    return old, new, epoch, begun


def status(net: LocalNet, name: str) -> Any:
    async def asked(client: Client) -> Any:
        return await client.handover_status()

    return net.ask(asked, name)[name]


def consent(net: LocalNet, old: str) -> None:
    async def given(client: Client) -> None:
        await client.handover_consent()

    net.ask(given, old)


@contextmanager
def nothing_decided(net: LocalNet) -> Iterator[None]:
    """Two of four are paused."""
    pids = [net.pid(name) for name in OTHERS]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def killed(net: LocalNet, *names: str) -> None:
    pids = [net.pid(name) for name in names]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), "the dead are gone")


def moved(net: LocalNet, *, active: str, epoch: int, before: list[Moved]) -> None:
    """The one handover of a test went through, and all is well."""
    ends_well(net, active=active, epoch=epoch)
    assert history(net)[len(before) :] == [Moved("n0sas", "planned", epoch, "done")]


def test_the_address_proposes_at_the_switch_and_one_block_later(net: LocalNet) -> None:
    """Method: consent is given a few blocks before it would lead; which one it was is asked."""
    led: dict[int, int] = {}  # Blocks from the commit to one that n0sas proposed: at the switch.
    lag = 1
    for _ in range(TURNS_MAX):
        after = next(blocks for blocks in (2, 3) if blocks not in led)
        old, _, _, begun = waiting(net)
        net.wait_height(next_lead(net) - after - lag, "n1")
        consent(net, old)
        code, last = end_of(begun)
        assert (code, last["missed_ballots"], last["extra_rounds"]) == (0, 0, 0), last
        committed = last["committed_height"]
        net.wait_height(committed + 3, "n1")
        ours = [blocks for blocks in (2, 3) if proposed(net, committed + blocks) == ("n0sas", 0)]
        led.update(dict.fromkeys(ours, committed))
        lag = (lag + 1) % 4 if after not in ours else lag
        if len(led) == 2:
            break
    assert set(led) == {2, 3}
    active, _, epoch = other_copy(net)
    ends_well(net, active=active, epoch=epoch)


def next_lead(net: LocalNet) -> int:
    """A height soon when n0sas leads: all are present, so they lead one after the other."""
    tip = net.infos("n1")["n1"].height
    order = [f"n{index}sas" for index in range(4)]
    return tip + 8 - order.index(str(proposed(net, tip)[0]))


def proposed(net: LocalNet, height: int) -> tuple[str | None, int]:
    """Who proposed a block, and in which round it was decided."""

    async def asked(client: Client) -> tuple[str | None, int]:
        block = await client.block(height)
        return block.proposer, block.round

    found: tuple[str | None, int] = net.ask(asked, "n1")["n1"]
    return found


def test_the_old_copy_dies_after_it_consented(net: LocalNet) -> None:
    before = history(net)
    old, new, epoch, begun = waiting(net)
    with Writers(net, clients=1, lanes=2, prefix=f"consented{epoch}-") as writers:
        with nothing_decided(net):
            consent(net, old)
            until_phase(begun, "submitted")
            killed(net, old)
            assert status(net, "n1") is None or status(net, "n1").outcome is not None
        code, last = end_of(begun)
        assert (code, last["outcome"]) == (0, "done"), last
        net.do("start", old)
        writers.wait(20)
    check_promises(net, writers.promised, prefix=f"consented{epoch}-")
    moved(net, active=new, epoch=epoch + 1, before=before)
    assert net.infos(old)[old].state == "SYNCING"


def test_both_copies_die_with_the_operation_in_the_pools(net: LocalNet) -> None:
    before = history(net)
    old, new, epoch, begun = waiting(net)
    with nothing_decided(net):
        consent(net, old)
        until_phase(begun, "submitted")
        killed(net, old, new)
    begun.kill()
    begun.communicate()
    until(lambda: len(history(net)) > len(before), "the others commit it without the two")
    moved(net, active=new, epoch=epoch + 1, before=before)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_old_copy_goes_between_commit_and_switch(net: LocalNet, how: str) -> None:
    """Killed, it misses its last votes; stopped, it stays until the new copy has its first block"""
    before = history(net)
    old, new, epoch, begun = waiting(net)
    consent(net, old)
    acts = until_phase(begun, "committed")["acts_height"]
    if how == "kill":
        killed(net, old)
        assert net.infos("n1")["n1"].height < acts, "it died before the switch"
    else:
        net.do("stop", old)
    code, last = end_of(begun)
    assert (code, last["outcome"]) == (0, "done"), last
    if how == "stop":
        assert (last["missed_ballots"], last["extra_rounds"]) == (0, 0)
    moved(net, active=new, epoch=epoch + 1, before=before)


def test_all_are_restarted_on_the_way(net: LocalNet) -> None:
    """Goal: a graceful restart of everything loses at most the attempt."""
    before = history(net)
    old, new, epoch, begun = waiting(net)
    consent(net, old)
    until_phase(begun, "submitted")
    net.do("restart")
    settle(net)
    code, last = end_of(begun)
    if history(net) == before:
        assert code == 1, last
        ends_well(net, active=old, epoch=epoch)
    else:
        assert (code, last["outcome"]) == (0, "done"), last
        moved(net, active=new, epoch=epoch + 1, before=before)


def test_the_operator_goes_away_and_another_one_watches(net: LocalNet) -> None:
    """Ctrl-C ends the command, not what it began; a second start of the same is told so."""
    before = history(net)
    settle(net)
    old, new, epoch = other_copy(net)
    begun = net.script.start("handover", "start", "-t", new)
    until(lambda: "operator" in str(getattr(status(net, new), "waits_for", "")), "it waits")
    begun.send_signal(signal.SIGINT)
    _, err = begun.communicate(timeout=60)
    assert (begun.returncode, "handover status" in err) == (130, True), err
    told = net.script.refusal("handover_open", 1, "handover", "start", "-t", new)
    assert [one["name"] for one in told["checks"] if one["status"] == "failed"] == ["open"]
    watcher = net.script.start("handover", "status", "-t", new, "--watch", "--json")
    consent(net, old)
    code, last = end_of(watcher)
    assert (code, last["outcome"]) == (0, "done"), last
    moved(net, active=new, epoch=epoch + 1, before=before)


def test_copies_that_have_just_begun(net: LocalNet) -> None:
    """Both are restarted, and the new one is told to start at once."""
    before = history(net)
    old, new, epoch = other_copy(net)
    net.do("restart", old, new)
    begun = watched(net, new)
    until_phase(begun, "ready")
    until(lambda: "operator" in str(getattr(status(net, old), "waits_for", "")), "it is asked")
    consent(net, old)
    code, last = end_of(begun)
    assert (code, last["outcome"]) == (0, "done"), last
    submit(net, old, ["to-the-old-copy"])
    moved(net, active=new, epoch=epoch + 1, before=before)
    found = net.script.answer(SESSION, "handover", "status", "-t", new)
    assert found["outcome"] == "done"
