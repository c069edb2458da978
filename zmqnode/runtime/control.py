"""Who may change a node, and what they can make it do.

A control request is signed by the identity key of the address or by the admin key of the data
folder, over a nonce this instance gave to this client a moment ago. A nonce is good once.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from zmqnode.base.hashes import Hash
from zmqnode.base.keys import public_text, verify
from zmqnode.base.query import (
    CUT_URLS_MAX,
    Answer,
    Challenge,
    Command,
    ControlAsked,
    CutCommand,
    StopCommand,
    read_command,
    told,
)
from zmqnode.errors import Malformed, Refused
from zmqnode.runtime.orders import Later, Orders
from zmqnode.runtime.view import NodeView

CHALLENGES_MAX: Final = 1_024  # Clients with an open challenge; the door has at most 512.
CHALLENGE_MS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Challenge:
    nonce: Hash
    until_ms: int


class Control:
    """Challenges, authority and the commands of one node."""

    def __init__(self, view: NodeView) -> None:
        self.view = view
        self.orders: Orders | None = None  # Set before the first request, where there are any.
        self._challenges: OrderedDict[bytes, _Challenge] = OrderedDict()
        self._muted: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def challenge(self, client: bytes) -> Challenge:
        """A nonce for one control request of this client; its older one is void."""
        nonce = Hash(os.urandom(32))
        self._challenges.pop(client, None)
        self._challenges[client] = _Challenge(
            nonce=nonce, until_ms=self.view.clock_ms() + CHALLENGE_MS
        )
        if len(self._challenges) > CHALLENGES_MAX:
            self._challenges.popitem(last=False)
        return Challenge(nonce=nonce)

    def obey(self, client: bytes, asked: ControlAsked, later: Later) -> Answer | None:
        """Do what an entitled client asks; None: the answer comes later.

        Raises:
            Refused: ``not_authorised``, ``bad_argument``; what a command is refused with.
        """
        view = self.view
        given = self._challenges.pop(client, None)
        if given is None or given.nonce != asked.nonce or given.until_ms < view.clock_ms():
            raise Refused(
                "not_authorised",
                "the node gave no such challenge to this client, or it is too old",
                hint="ask again",
            )
        entitled = asked.signer == view.identity or (
            view.admin is not None and asked.signer == view.admin
        )
        if not entitled or not asked.verified(view.signer.domain, view.signer.public, verify):
            raise Refused(
                "not_authorised",
                f"this key may not control {view.address}",
                hint="sign with the address's identity key (--sign), or name the data folder",
                address=view.address,
            )
        try:
            command = read_command(asked.command)
        except Malformed as error:
            raise Refused("bad_argument", f"no command: {error}") from None
        return self._command(command, later)

    def _command(self, command: Command, later: Later) -> Answer | None:
        match command:
            case StopCommand():
                self.view.stop()
                return told(
                    {
                        "address": self.view.address,
                        "instance": public_text(self.view.signer.public),
                        "height": self.view.tip,
                    }
                )
            case CutCommand():
                if not self.view.faults:
                    raise Refused(
                        "not_authorised",
                        "this node takes no fault injection",
                        hint="faults: true in its node.yml allows it",
                    )
                self._cut(command)
                return told({})
            case _:
                if self.orders is None:
                    raise Refused("wrong_state", "this node hands nothing over")
                return self.orders.obey(command, later)

    def _cut(self, command: CutCommand) -> None:
        """One cut comes on top of those before it, until both sides are named empty: healed."""
        said = (command.muted_in, command.muted_out)
        if said == ((), ()):
            self._muted = said
        else:
            before_in, before_out = self._muted
            self._muted = (
                tuple(dict.fromkeys(before_in + said[0]))[-CUT_URLS_MAX:],
                tuple(dict.fromkeys(before_out + said[1]))[-CUT_URLS_MAX:],
            )
        self.view.cut(*self._muted)
