"""What clients ask and command about handover at the door; see base/query for the door's manners.

Reading: a session is told in the words of the command line, beside a *serial* that grows with every
change a node sees; who names the serial it knows waits until there is a newer one (a long poll), so
nobody misses a phase and nobody polls in a loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zmqnode.base.codec import message
from zmqnode.base.handover import REASON_MAX_CHARS, Cosign, Mode, check_address
from zmqnode.base.keys import Address, PublicKey
from zmqnode.base.point import HEIGHT_MAX
from zmqnode.base.suffrage import MEMBERS_MAX

SESSION_WAIT_MS_MAX: Final = 3_600_000
SERIAL_MAX: Final = 2**53 - 1
COSIGNS_MAX: Final = MEMBERS_MAX
CHANGES_ASKED_MAX: Final = 16


# Requests that read.


@message("ask.session", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAsked:
    """The handover this node sees: of its own address, open or last; else the chain's last.

    Told: ``session`` (or null) and ``serial``. At once if ``after`` is None or the serial is higher
    than it, else when the session changes, or as it stands when ``within_ms`` is over.
    """

    after: int | None
    within_ms: int

    def __post_init__(self) -> None:
        if self.after is not None and not 0 <= self.after <= SERIAL_MAX:
            raise ValueError("after: out of range")
        if not 0 <= self.within_ms <= SESSION_WAIT_MS_MAX:
            raise ValueError(f"within_ms: expected 0 to {SESSION_WAIT_MS_MAX}")


@message("ask.handovers", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class HandoversAsked:
    """The sessions of the chain, oldest first, of one address or of all. Told: ``handovers``."""

    address: Address | None

    def __post_init__(self) -> None:
        if self.address is not None:
            check_address(self.address)


@message("ask.changes", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesAsked:
    """The blocks above height ``after`` that decided another suffrage, oldest first, some of them.

    Told: ``changes``, at most ``CHANGES_ASKED_MAX`` of ``{manifest, accept_voteproof, members}``
    (encoded; members as rows of address, keys, epoch, url). For clients that follow who may sign,
    from genesis on.
    """

    after: int

    def __post_init__(self) -> None:
        if not 0 <= self.after <= HEIGHT_MAX:
            raise ValueError("after: out of range")


HandoverAsk = SessionAsked | HandoversAsked | ChangesAsked


# Control.


def _check_options(reason: str, cosigns: tuple[Cosign, ...]) -> None:
    if len(reason) > REASON_MAX_CHARS:
        raise ValueError(f"reason: at most {REASON_MAX_CHARS} characters")
    if len(cosigns) > COSIGNS_MAX:
        raise ValueError("too many co-signatures")


@message("control.preflight", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightCommand:
    """Check everything a start would check; nothing changes. Told: the answer of the command."""

    mode: Mode


@message("control.handover", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class StartCommand:
    """Let this copy vote in its address's place, once all checks passed. Told as SessionAsked.

    A failed check is Failed with its code, details ``checks``. ``when_synced``: being behind is
    waited for, not refused.
    """

    mode: Mode
    reason: str = ""
    cosigns: tuple[Cosign, ...] = ()
    accept_halt_risk: bool = False
    when_synced: bool = False

    def __post_init__(self) -> None:
        _check_options(self.reason, self.cosigns)


@message("control.cancel", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class CancelCommand:
    """Take the open handover of this address back. Told as SessionAsked; ``none_open``."""


@message("control.consent", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentCommand:
    """Answer the session that waits for this copy's consent. Told as SessionAsked."""

    refuse: bool = False


@message("control.cosign", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class CosignCommand:
    """Co-sign the forced handover of another address to an instance.

    Told: ``epoch``, ``expires_at``, ``expires_at_ms``, ``cosign`` (hex of the encoded Cosign).
    """

    address: Address
    instance: PublicKey

    def __post_init__(self) -> None:
        check_address(self.address)


@message("control.handback", version=1)
@dataclass(frozen=True, slots=True, kw_only=True)
class HandbackCommand:
    """Sent to the active copy: let the copy it replaced start a handover.

    Told as SessionAsked, as the other copy sees it, beside that copy's ``url`` and ``instance``:
    serials are its own, so who goes on asking asks it.
    """

    mode: Mode
    reason: str = ""
    cosigns: tuple[Cosign, ...] = ()
    accept_halt_risk: bool = False
    when_synced: bool = False

    def __post_init__(self) -> None:
        _check_options(self.reason, self.cosigns)


HandoverCommand = (
    PreflightCommand
    | StartCommand
    | CancelCommand
    | ConsentCommand
    | CosignCommand
    | HandbackCommand
)
