"""What changes a node: stop it, cut it off, let it take its address's vote.

Control goes to the first target alone: it is that copy which shall do something. The request is
signed by the key the target gives a right to (client/authority), over a nonce of the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from zmqnode.base.handover_query import (
    CancelCommand,
    ConsentCommand,
    CosignCommand,
    HandbackCommand,
    HandoversAsked,
    PreflightCommand,
    SessionAsked,
    StartCommand,
)
from zmqnode.base.keys import parse_address, parse_public
from zmqnode.base.query import ChallengeAsked, CutCommand, InfoAsked, StopCommand, sign_control
from zmqnode.client import authority
from zmqnode.client.answers import Stopped
from zmqnode.client.handover_answers import CosignInfo, Preflight, Session
from zmqnode.client.handovers import (
    DECIDED,
    Follower,
    OnChange,
    cosigns_of,
    ended_well,
    mode_of,
    reason_of,
    session_of,
)
from zmqnode.client.node_link import Chain, NodeLink, monotonic_ms
from zmqnode.client.nodes import Nodes
from zmqnode.client.submitting import rounded
from zmqnode.config.limits import TIMEOUT_LONG_MS, TIMEOUT_WAIT_MS
from zmqnode.config.place import parse_place
from zmqnode.config.target import Target
from zmqnode.errors import Refused, TimedOut, Unreachable, ZmqnodeError

GONE_POLL_MS: Final = 20


class Operating:
    """The part of :class:`~zmqnode.client.client.Client` that changes nodes."""

    targets: tuple[Target, ...]
    timeout_ms: int
    _sign: str | None
    _nodes: Nodes

    async def stop(self, *, timeout_ms: int | None = None) -> Stopped:
        """Stop the first target gracefully; returns when it is gone.

        Raises:
            Refused: ``not_authorised``.
            TimedOut: it was told, and is still there.
        """
        began_ms = monotonic_ms()
        end_ms = began_ms + (timeout_ms or TIMEOUT_WAIT_MS)
        target, link = self.targets[0], self._first_link
        pid = authority.process_of(target)
        body = await self._control(StopCommand())
        leaving = authority.Leaving(target, pid)
        while leaving.is_there() or not await _is_gone(link):
            if monotonic_ms() >= end_ms:
                text = f"{link.url} was told to stop, and is still there"
                raise TimedOut("timeout", text, hint="it ends what it owes; see its log")
            await asyncio.sleep(GONE_POLL_MS / 1000)
        seconds = rounded(monotonic_ms() - began_ms)
        return self._nodes.read(Stopped, {**body, "seconds": seconds})

    async def cut(self, muted_in: Sequence[str], muted_out: Sequence[str]) -> None:
        """Fault injection at the first target: drop peer traffic from and to these urls."""
        await self._control(CutCommand(muted_in=tuple(muted_in), muted_out=tuple(muted_out)))

    # Handover. All of it at the first target.

    async def handover_preflight(
        self, mode: str = "planned", *, timeout_ms: int | None = None
    ) -> Preflight:
        """Whether this copy could take its address's vote now; nothing changes.

        Args:
            mode: planned, takeover (the old copy is dead) or forced (it misbehaves).
        """
        body = await self._control(PreflightCommand(mode=mode_of(mode)), timeout_ms)
        return self._nodes.read(Preflight, body)

    async def handover_start(
        self,
        *,
        mode: str = "planned",
        accept_halt_risk: bool = False,
        when_synced: bool = False,
        cosigns: Iterable[CosignInfo | str | Path] = (),
        reason: str = "",
        wait: bool = True,
        timeout_ms: int | None = None,
        on_change: OnChange | None = None,
    ) -> Session:
        """Let this copy vote in its address's place; returns when that is acknowledged.

        Args:
            accept_halt_risk: also if the others alone could not go on should this copy fail.
            when_synced: wait until it has caught up, instead of being refused.
            cosigns: of f + 1 other members, for forced: answers, hex, or files.
            wait: False returns once all checks passed.
            timeout_ms: of the wait, default 60 s; what was begun goes on.
            on_change: called with the session at every change.
        Raises:
            Refused: a check failed, or the session ended otherwise; the code says which, details
                are the session.
            Undecided: begun, and not over in time; details: the session.
        """
        command = StartCommand(
            mode=mode_of(mode),
            reason=reason_of(reason),
            cosigns=cosigns_of(cosigns),
            accept_halt_risk=accept_halt_risk,
            when_synced=when_synced,
        )
        return await self._begin(command, wait=wait, timeout_ms=timeout_ms, on_change=on_change)

    async def handover_handback(
        self,
        *,
        mode: str = "planned",
        accept_halt_risk: bool = False,
        when_synced: bool = False,
        cosigns: Iterable[CosignInfo | str | Path] = (),
        reason: str = "",
        wait: bool = True,
        timeout_ms: int | None = None,
        on_change: OnChange | None = None,
    ) -> Session:
        """The way back: asked of the active copy, started by the copy it replaced.

        As :meth:`handover_start`.
        """
        command = HandbackCommand(
            mode=mode_of(mode),
            reason=reason_of(reason),
            cosigns=cosigns_of(cosigns),
            accept_halt_risk=accept_halt_risk,
            when_synced=when_synced,
        )
        return await self._begin(command, wait=wait, timeout_ms=timeout_ms, on_change=on_change)

    async def handover_cancel(self, *, timeout_ms: int | None = None) -> Session:
        """Take the open handover back; says what the chain says.

        Raises:
            Refused: ``none_open``; ``too_late``, it is decided: details are the session.
            Undecided: not known in time.
        """
        end_ms = monotonic_ms() + (timeout_ms or TIMEOUT_LONG_MS)
        body = await self._control(CancelCommand(), timeout_ms or TIMEOUT_LONG_MS)
        follower = Follower([self._first_link])
        session = self._told(follower, body)
        session = await follower.until(session, lambda one: one.phase in DECIDED, end_ms)
        if session.outcome == "cancelled":
            return session
        raise Refused(
            "too_late",
            f"the handover of {session.address} could not be cancelled any more"
            f" ({session.outcome or session.phase})",
            hint="once it is done, zmqnode handover handback brings the vote back",
            **session.json(),
        )

    async def handover_consent(
        self, *, refuse: bool = False, timeout_ms: int | None = None
    ) -> Session:
        """Answer the session that waits for this copy's operator; raises ``none_open``."""
        body = await self._control(ConsentCommand(refuse=refuse), timeout_ms)
        return self._told(Follower([self._first_link]), body)

    async def handover_cosign(
        self, address: str, instance: str, *, timeout_ms: int | None = None
    ) -> CosignInfo:
        """This member's co-signature of a forced handover of another address to an instance."""
        command = CosignCommand(address=parse_address(address), instance=parse_public(instance))
        return self._nodes.read(CosignInfo, await self._control(command, timeout_ms))

    # Asking; anybody may.

    async def handover_status(self) -> Session | None:
        """The node's open or last session, else the chain's last; None if there is none."""
        body = await self._nodes.told(SessionAsked(after=None, within_ms=0))
        return session_of(body.get("session"), self._first_link)

    async def handover_history(self, address: str | None = None) -> tuple[Session, ...]:
        """The sessions the chain had, oldest first, of one address or of all."""
        named = None if address is None else parse_address(address)
        rows = (await self._nodes.told(HandoversAsked(address=named))).get("handovers", [])
        found = (session_of(row, self._first_link) for row in rows)
        return tuple(one for one in found if one is not None)

    async def handover_follower(self) -> Follower:
        """The node's session, change by change; the first answer comes at once."""
        await self._nodes.chain()
        return Follower([self._first_link])

    # Inside.

    async def _begin(
        self,
        command: StartCommand | HandbackCommand,
        *,
        wait: bool,
        timeout_ms: int | None,
        on_change: OnChange | None,
    ) -> Session:
        limit_ms = timeout_ms or TIMEOUT_LONG_MS
        end_ms = monotonic_ms() + limit_ms
        body = await self._control(command, limit_ms)
        link = self._first_link
        url = body.get("url")  # Of the copy that started, where that is another one.
        links = [link]
        if isinstance(url, str) and url != link.url:
            links.insert(0, self._nodes.link(link.publickey, parse_place(url).url))
        follower = Follower(links)
        session = self._told(follower, body)
        if on_change is not None:
            on_change(session)
        if wait:
            session = await follower.until(session, lambda one: False, end_ms, on_change)
        elif session.outcome is None:
            return session
        return ended_well(session)

    def _told(self, follower: Follower, body: dict[str, Any]) -> Session:
        session = follower.told(body)
        if session is None:
            raise self._first_link.strange("no session where one was begun")
        return session

    @property
    def _first_link(self) -> NodeLink:
        """The first target's, whether it is up or not."""
        target = self.targets[0]
        return self._nodes.link(target.publickey, target.place.url)

    async def _control(self, command: object, timeout_ms: int | None = None) -> dict[str, Any]:
        link = self._first_link
        chain = await link.chain(self.timeout_ms)
        try:
            return await self._ordered(command, link, chain, timeout_ms)
        except Refused as error:
            now = await link.chain(self.timeout_ms) if error.code == "not_authorised" else chain
            if now.instance == chain.instance:
                raise
        # It went on with another instance key after it had named the one that was signed for.
        return await self._ordered(command, link, now, timeout_ms)

    async def _ordered(
        self, command: object, link: NodeLink, chain: Chain, timeout_ms: int | None
    ) -> dict[str, Any]:
        self._nodes.pin(link, chain.domain.network_id, chain.domain.genesis.hex())
        key = authority.control_key(self.targets[0], self._sign)
        challenge = await link.ask(ChallengeAsked(), self.timeout_ms)
        signed = sign_control(
            command,
            nonce=challenge.nonce,
            instance=parse_public(chain.instance),
            domain=chain.domain,
            key=key,
        )
        return await link.told(signed, timeout_ms or self.timeout_ms)


async def _is_gone(link: NodeLink) -> bool:
    try:
        await link.told(InfoAsked(), 500)
    except Unreachable as error:
        return error.details.get("connected") is False
    except ZmqnodeError:
        return False
    return False
