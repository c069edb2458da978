"""CLI.md, sections 3 to 9, as a table: the options of every command are the contract's."""

from __future__ import annotations

import re

import pytest

from zmqnode.commands.main import main

OPTION = re.compile(r"^ +(?:-\w, )?(--[a-z-]+)", re.MULTILINE)
WAITS = "--timeout --json"  # Of every command that asks or waits.
ASKS = f"--target --sign {WAITS}"  # The key, too: a url may leave its public key to it.
TESTNET = f"--dir {WAITS}"

TABLE = {
    # 3. A local network.
    "testnet up": f"--nodes --base-port --app --set {TESTNET}",
    "testnet status": TESTNET,
    "testnet down": f"--delete {TESTNET}",
    "testnet start": TESTNET,
    "testnet stop": TESTNET,
    "testnet restart": TESTNET,
    "testnet kill": f"--signal {TESTNET}",
    "testnet logs": f"--follow {TESTNET}",
    "testnet add-standby": TESTNET,
    "testnet cut": f"--one-way {TESTNET}",
    "testnet heal": TESTNET,
    "testnet load": f"--rate --seconds --clients --seal-ops --to {TESTNET}",
    "demo": f"--nodes --rate {TESTNET}",
    # 4. Keys, genesis, node.
    "key new": "--json",
    "key show": "--json",
    "key sign": "--json",
    "key verify": "--json",
    "node init": "--address --network-id --url --privatekey --json",
    "genesis assemble": "--out --app --data --set --json",
    "genesis show": "--target --json",
    "genesis verify": "--json",
    "node run": "--app --standby-auto --log-format",
    "node info": ASKS,
    "node stop": ASKS,
    "node adopt": "--old-copy-destroyed --json",
    "node start-handover": "--takeover --forced --cosign --accept-halt-risk --when-synced "
    f"--reason --no-wait --watch {WAITS}",
    # 6. Handover.
    "handover preflight": f"--takeover --forced {ASKS}",
    "handover start": "--takeover --forced --cosign --accept-halt-risk --when-synced --reason "
    f"--no-wait --watch {ASKS}",
    "handover consent": f"--refuse {ASKS}",
    "handover cosign": f"--out {ASKS}",
    "handover status": f"--watch {ASKS}",
    "handover history": f"--address {ASKS}",
    "handover cancel": ASKS,
    "handover handback": ASKS,
    # 7. Seals, queries, blocks.
    "seal send": f"--file --seal --wait --only {ASKS}",
    "seal make": f"--file --out {ASKS}",
    "seal cat": ASKS,
    "query": f"--height --proof {ASKS}",
    "block show": ASKS,
    "block list": f"--from --to {ASKS}",
    "block verify": f"--from --to --genesis {ASKS}",
    # 8. Watching.
    "suffrage list": f"--height {ASKS}",
    "peers": ASKS,
    "events": f"--follow --from --kind {ASKS}",
    "wait height": ASKS,
    "wait state": ASKS,
    "wait synced": ASKS,
    "wait seal": ASKS,
    "check": f"--format --max-lag --min-margin --max-block-age {ASKS}",
    "monitor": "--once --panel --interval --all --record --replay --speed --ascii --control "
    "--target --json",
    # 9. Configuration, development, measuring.
    "config check": "--json",
    "config show": "--origin --json",
    "config schema": "--json",
    "ctx add": "--sign --json",
    "ctx rm": "--json",
    "ctx list": "--json",
    "app new": "--json",
    "app check": f"--runs {WAITS}",
    "sim run": f"--seeds --heights --nodes --faults {WAITS}",
    "sim replay": f"--tell {WAITS}",
    "sim explore": f"--instances --operations {WAITS}",
    "bench": f"--only --nodes --runs {WAITS}",
    "version": "--json",
}

LATER = (
    *("testnet add-standby", "node start-handover", "handover preflight", "handover start"),
    *("handover consent", "handover cosign", "handover status", "handover history"),
    *("handover cancel", "handover handback", "events", "check", "monitor"),
)
"""Commands of the contract that may not be there yet; once they are, the table holds for them."""


@pytest.mark.parametrize("command", TABLE)
def test_a_command_has_the_options_of_the_contract(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: no option missing. Method: the options are those that its ``--help`` lists."""
    monkeypatch.setenv("COLUMNS", "200")
    for word in ("--help", "-h"):
        code = main([*command.split(), word])
        out, err = capsys.readouterr()
        if code == 2 and command in LATER:
            pytest.skip(f"{command} is not there yet")
        assert (code, err) == (0, ""), command
        listed = set(OPTION.findall(out)) - {"--help"}
        wanted = set(TABLE[command].split())
        assert wanted <= listed, f"{command} lacks {sorted(wanted - listed)}"
        beyond = set() if command in LATER else listed - wanted
        assert beyond == set(), f"{command}: {sorted(beyond)} stand on no page"


@pytest.mark.parametrize(
    "words",
    [
        ("sim", "run", "--seeds", "0..100000"),
        ("sim", "explore", "--instances", "8", "--operations", "4"),
    ],
    ids=" ".join,
)
def test_what_computes_ends_when_its_time_is_over(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--timeout", "300ms"]) == 5
    out, err = capsys.readouterr()
    assert out == ""
    assert "[timeout]" in err.splitlines()[0]
    assert err.splitlines()[1].startswith("hint: ")


@pytest.mark.parametrize("nodes", ["1", "3", "41"])
def test_a_demo_has_as_many_nodes_as_it_takes_to_go_on_without_one(
    nodes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--nodes", nodes]) == 2
    assert "[usage]" in capsys.readouterr().err


def test_an_application_check_ends_when_its_time_is_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["app", "check", "kv", "--runs", "100", "--timeout", "0.2", "--json"]) == 5
    assert '"code":"timeout"' in capsys.readouterr().out
