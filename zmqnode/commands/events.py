"""``zmqnode events``: what happens on the chain, one line each; a stream that can be resumed."""

from __future__ import annotations

import sys
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqnode.commands import terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import JsonOption, SignOption, TargetOption, TimeoutOption
from zmqnode.errors import TimedOut

if TYPE_CHECKING:
    from zmqnode.client import SyncClient

app = typer.Typer()


@app.command("events")
def events(
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes.")] = False,
    start: Annotated[
        int | None,
        typer.Option("--from", metavar="HEIGHT", min=0, help="Begin with this block."),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", metavar="KIND", help="block, operation, handover, state, evidence; repeats."
        ),
    ] = None,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what happens: blocks, operations, handovers, changes of the node's state, evidence.

    Without --follow it ends with the newest block, and begins with the first one or --from's. With
    it, it begins with what comes, or at --from: first what is stored, then what comes, without a
    hole or a repetition, also over a restart of the node.
    """
    from zmqnode.commands.deadline import computing  # Costs asyncio.

    with terminal.streaming(), asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        try:
            with computing(timeout_ms, "the stream") if timeout_ms else nullcontext():
                _print(client, start, kinds or [], follow=follow, as_json=as_json)
        except TimedOut as error:
            # Who follows for some time wanted no more than that.
            if not follow or error.code != "timeout":
                raise


def _print(
    client: SyncClient, start: int | None, kinds: list[str], *, follow: bool, as_json: bool
) -> None:
    chosen = [kind for one in kinds for kind in one.split(",")]
    with closing(client.events(start=start, kinds=chosen, follow=follow)) as found:
        for event in found:
            shown = event.json()
            if as_json:
                terminal.write(sys.stdout, terminal.json_line(shown))
            else:
                terminal.line(event_line(shown))


def event_line(event: dict[str, Any]) -> str:
    """An event in one line: when, at which height, what."""
    head = f"{event['at']}  {event['height']:>6}  {event['kind']:9}"
    match event["kind"]:
        case "block":
            count = event["operations_count"]
            text = f"{event['block_hash'][:16]} round {event['round']} by {event['proposer']}"
            text += f", {count} operation{'' if count == 1 else 's'}"
        case "operation":
            done = "ok" if event["ok"] else f"undone: {event['reason']}"
            text = f"{event['seal'][:16]}/{event['index']} {event['name']}: {done}"
            text += "".join(f"; {one['name']} {_data(one['data'])}" for one in event["events"])
        case "handover":
            text = f"{event['session']} {event['mode']} of {event['address']}: {event['step']}"
            text += f", to epoch {event['epoch_after']}"
        case "state":
            text = f"{event['previous']} -> {event['state']}: {event['reason']}"
        case _:
            text = f"{event['address']} (epoch {event['epoch']}) signed two things as "
            text += f"{event['stage']} of round {event['round']}: {event['instance']}"
    return f"{head}  {' '.join(text.split())}"  # Whatever an application says: one line.


def _data(data: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in data.items())
