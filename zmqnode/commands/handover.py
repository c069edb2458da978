"""``zmqnode handover``: let another copy of an address vote in its place, live."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqnode.commands import guide, handover_view, terminal
from zmqnode.commands.asking import asking
from zmqnode.commands.options import JsonOption, SignOption, TargetOption, TimeoutOption
from zmqnode.errors import Invalid, Refused, TimedOut, Unreachable

if TYPE_CHECKING:
    from zmqnode.client import Client, Session, SyncClient

app = typer.Typer()

TakeoverOption = Annotated[
    bool, typer.Option("--takeover", help="The old copy is dead or silent; it can veto.")
]
ForcedOption = Annotated[
    bool, typer.Option("--forced", help="The old copy misbehaves; f+1 members co-sign.")
]
CosignOption = Annotated[
    list[Path] | None,
    typer.Option("--cosign", metavar="FILE", help="A co-signature, for forced; repeatable."),
]
RiskOption = Annotated[
    bool,
    typer.Option(
        "--accept-halt-risk", help="Also if the others alone could not go on without this copy."
    ),
]
SyncedOption = Annotated[
    bool, typer.Option("--when-synced", help="Wait until this copy has caught up.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="For the record; in the chain.")
]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Return once all checks passed.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Every change; a stream.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The options of a start, as typed."""

    takeover: bool
    forced: bool
    cosigns: list[Path] | None
    accept_halt_risk: bool
    when_synced: bool
    reason: str
    no_wait: bool
    watch: bool
    timeout_ms: int | None
    as_json: bool

    @property
    def mode(self) -> str:
        """The mode; raises Invalid ``usage``."""
        return _mode(takeover=self.takeover, forced=self.forced)


@app.command()
def preflight(
    target: TargetOption = None,
    takeover: TakeoverOption = False,
    forced: ForcedOption = False,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check whether this copy could take its address's vote now; nothing changes."""
    mode = _mode(takeover=takeover, forced=forced)
    with asking(target, sign=sign) as client:
        found = client.handover_preflight(mode, timeout_ms=timeout_ms)
    terminal.show(found, as_panel=handover_view.preflight_panel, as_json=as_json)


@app.command()
def start(
    target: TargetOption = None,
    takeover: TakeoverOption = False,
    forced: ForcedOption = False,
    cosigns: CosignOption = None,
    accept_halt_risk: RiskOption = False,
    when_synced: SyncedOption = False,
    reason: ReasonOption = "",
    no_wait: NoWaitOption = False,
    watch: WatchOption = False,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let this copy, a standby, vote in its address's place."""
    options = Start(
        takeover=takeover,
        forced=forced,
        cosigns=cosigns,
        accept_halt_risk=accept_halt_risk,
        when_synced=when_synced,
        reason=reason,
        no_wait=no_wait,
        watch=watch,
        timeout_ms=timeout_ms,
        as_json=as_json,
    )
    with asking(target, sign=sign) as client:
        begin(client, options, target)


@app.command()
def handback(
    target: TargetOption = None,
    takeover: TakeoverOption = False,
    forced: ForcedOption = False,
    cosigns: CosignOption = None,
    accept_halt_risk: RiskOption = False,
    when_synced: SyncedOption = False,
    reason: ReasonOption = "",
    no_wait: NoWaitOption = False,
    watch: WatchOption = False,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the active copy to give the vote back to the copy it replaced."""
    options = Start(
        takeover=takeover,
        forced=forced,
        cosigns=cosigns,
        accept_halt_risk=accept_halt_risk,
        when_synced=when_synced,
        reason=reason,
        no_wait=no_wait,
        watch=watch,
        timeout_ms=timeout_ms,
        as_json=as_json,
    )
    with asking(target, sign=sign) as client:
        begin(client, options, target, back=True)


def begin(client: SyncClient, options: Start, target: str | None, *, back: bool = False) -> None:
    """Start a handover and show it to its end, as the options say."""
    mode = options.mode
    shown = Shown(as_json=options.as_json, watch=options.watch)
    call = client.client.handover_handback if back else client.client.handover_start
    work = call(
        mode=mode,
        accept_halt_risk=options.accept_halt_risk,
        when_synced=options.when_synced,
        cosigns=options.cosigns or (),
        reason=options.reason,
        wait=not options.no_wait,
        timeout_ms=options.timeout_ms,
        on_change=shown.change,
    )
    where = "" if target is None else f" -t {shlex.quote(target)}"
    with terminal.detaching(
        f"zmqnode handover status --watch{where} shows it, "
        f"zmqnode handover cancel{where} stops it while it can be stopped"
    ):
        session = client.run(work)
    if not options.watch:
        terminal.show(session, as_panel=handover_view.facts_panel, as_json=options.as_json)
        if not options.no_wait:
            guide.next_step(
                f"zmqnode handover history; the way back: zmqnode handover handback{where}",
                as_json=options.as_json,
            )


def begin_at(address: str, privatekey: str, network_id: str, url: str, options: Start) -> None:
    """``node start-handover``: the copy at a url, checked to be the one that is meant.

    Args:
        privatekey: a reference or the key itself; the authority, and the key the url lacks.
    Raises:
        Refused: ``address_mismatch network_mismatch identity_mismatch``.
        Invalid: ``config_invalid``, ``key_invalid``.
    """
    from zmqnode.base.keys import parse_address, public_text
    from zmqnode.config.node import parse_network_id
    from zmqnode.config.place import parse_place
    from zmqnode.config.secret import parse_secret

    named, network = parse_address(address), parse_network_id(network_id)
    key = parse_secret(privatekey).key()  # Read once: it may come from stdin.
    place = parse_place(url)
    if place.publickey not in (None, key.public):
        raise _other_identity(
            f"the private key is that of {public_text(key.public)}, not the url's"
        )
    target = replace(place, publickey=key.public).text
    with asking(target, sign=key.text()) as client:
        _check_copy(client, place.url, named, network)
        begin(client, options, target)


def _check_copy(client: SyncClient, url: str, address: str, network_id: str) -> None:
    try:
        info = client.info()
    except Unreachable as error:
        if error.details.get("reason") != "other_key":
            raise
        raise _other_identity(f"the node at {url} has another key than the one given") from None
    if info.network_id != network_id:
        raise Refused(
            "network_mismatch",
            f"{info.url} is of network {info.network_id}, not {network_id}",
            hint=f"if that network is meant, write {shlex.quote(info.network_id)}",
            network_id=info.network_id,
        )
    if info.address != address:
        raise Refused(
            "address_mismatch",
            f"{info.url} is a copy of {info.address}, not of {address}",
            hint=f"give the url of a copy of {address}, or the address {info.address}",
            address=info.address,
        )


def _other_identity(text: str) -> Refused:
    hint = "give the identity key of the address: privatekey in the node.yml of both copies"
    return Refused("identity_mismatch", text, hint=hint)


@dataclass(slots=True, kw_only=True)
class Shown:
    """What a person or a script was shown of a session so far."""

    as_json: bool
    watch: bool
    phases: int = field(default=0)

    def change(self, session: Session) -> None:
        """One line on stderr for each phase; for a watcher every change, on stdout."""
        if self.watch:
            stream(session, as_json=self.as_json)
        if not self.watch or self.as_json:
            for phase in session.phases[self.phases :]:
                terminal.note(handover_view.phase_line(session, phase))
        self.phases = max(self.phases, len(session.phases))


def stream(session: Session | None, *, as_json: bool) -> None:
    """One object, or one line for a person."""
    if as_json:
        terminal.write(sys.stdout, terminal.json_line(_object(session)))
    else:
        terminal.line("no handover" if session is None else handover_view.change_line(session))


def _object(session: Session | None) -> dict[str, Any]:
    return {"session": None} if session is None else session.json()


@app.command()
def status(
    target: TargetOption = None,
    sign: SignOption = None,
    watch: WatchOption = False,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a node's open or last handover, else the chain's last one."""
    with asking(target, sign=sign, timeout_ms=None if watch else timeout_ms) as client:
        if watch:
            with terminal.streaming():
                done = client.run(
                    _watched(client.client, timeout_ms, lambda one: stream(one, as_json=as_json))
                )
            if not done:
                raise typer.Exit(1)
            return
        session = client.handover_status()
    if as_json or session is not None:
        shown = {"session": None} if session is None else session
        terminal.show(shown, as_panel=handover_view.session_panel, as_json=as_json)
    else:
        terminal.line("no handover")


async def _watched(
    client: Client, timeout_ms: int | None, tell: Callable[[Session | None], None]
) -> bool:
    """Tell every change to the end; whether it ended as it should."""
    from zmqnode.client.node_link import monotonic_ms

    end_ms = None if timeout_ms is None else monotonic_ms() + timeout_ms
    follower = await client.handover_follower()
    while True:
        try:
            session = await follower.changed(end_ms)
        except TimedOut:
            text = f"the handover is still open after {(timeout_ms or 0) / 1000:g} s"
            raise TimedOut(
                "timeout", text, hint="it goes on; watch longer with --timeout"
            ) from None
        tell(session)
        if session is None or session.over:
            return session is not None and session.outcome == "done"


@app.command()
def history(
    address: Annotated[
        str | None, typer.Option("--address", metavar="A", help="Of one address only.")
    ] = None,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the handovers the chain had, oldest first."""
    with asking(target, sign=sign, timeout_ms=timeout_ms) as client:
        sessions = client.handover_history(address)
    if as_json:
        terminal.show({"handovers": [one.json() for one in sessions]}, as_json=True)
    else:
        terminal.show(
            {"handovers": sessions},
            as_panel=lambda shown: handover_view.history_panel(shown["handovers"]),
        )


@app.command()
def cancel(
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the open handover back, on either copy; the answer is the chain's."""
    with asking(target, sign=sign) as client:
        session = client.handover_cancel(timeout_ms=timeout_ms)
    terminal.show(session, as_panel=handover_view.session_panel, as_json=as_json)


@app.command()
def consent(
    refuse: Annotated[bool, typer.Option("--refuse", help="Say no.")] = False,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer, on the old copy, the handover that waits for it (handover.consent: ask)."""
    with asking(target, sign=sign) as client:
        session = client.handover_consent(refuse=refuse, timeout_ms=timeout_ms)
    terminal.show(session, as_panel=handover_view.session_panel, as_json=as_json)


@app.command()
def cosign(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Whose copy misbehaves.")],
    instance: Annotated[
        str, typer.Argument(metavar="INSTANCE", help="Public key of the copy that shall vote.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to put it.")
    ] = None,
    target: TargetOption = None,
    sign: SignOption = None,
    timeout_ms: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Co-sign, as another member, a forced handover; f+1 members have to."""
    with asking(target, sign=sign) as client:
        found = client.handover_cosign(address, instance, timeout_ms=timeout_ms)
    if out is not None:
        _write(out, found.json())
    terminal.show(found, as_json=as_json)


def _write(out: Path, values: dict[str, Any]) -> None:
    try:
        out.write_text(json.dumps({"v": terminal.VERSION, **values}) + "\n", encoding="utf-8")
    except OSError as error:
        text = f"cannot write {out}: {error.strerror}"
        raise Invalid("file_missing", text, file=str(out)) from None


def _mode(*, takeover: bool, forced: bool) -> str:
    if takeover and forced:
        raise Invalid("usage", "a handover is a takeover or forced, not both")
    return "takeover" if takeover else "forced" if forced else "planned"
