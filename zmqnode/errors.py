"""Every error a caller can meet, by who has to act on it.

The tree follows the exit codes of the command line (a script reads the code, a person the message):
each class has one exit code, each error one machine-readable ``code`` from the documented list.
Secrets never belong in ``message``, ``hint`` or ``details``.
"""

from __future__ import annotations

from typing import ClassVar, Final

HINTS: Final[dict[str, str]] = {
    "usage": "add --help to the command to see what it takes",
    "file_missing": "check the path; it is relative to the current folder",
    "config_invalid": "zmqnode config check FILE names the lines",
    "key_invalid": "zmqnode key new FILE makes a key",
    "unreachable": "is the node running? see node.log in its folder",
    "undecided": "ask again; nothing is done twice",
    "timeout": "wait longer with --timeout; zmqnode node info shows where the node stands",
    "broken": "zmqnode node info names the cause and the way out",
    "not_authorised": "name the node's folder with -t, or its identity key with --sign",
    "network_mismatch": "compare network_id in zmqnode node info and zmqnode genesis show",
    "genesis_mismatch": "compare genesis_hash in zmqnode node info and zmqnode genesis show",
    "wrong_state": "zmqnode node info shows the node's state",
    "already_exists": "nothing is overwritten; take another name",
    "not_found": "zmqnode block list shows what is there",
    "rate_limited": "ask again a little later",
    "bad_signature": "compare the target's PUBLICKEY with the node's",
    "address_in_use": "another process listens there; stop it or take another url",
    "folder_in_use": "a node runs in this folder; zmqnode node stop -t FOLDER",
    "unknown_operation": "zmqnode app check MODULE:APP lists an application's operations",
    "unknown_query": "zmqnode app check MODULE:APP lists an application's queries",
    "bad_argument": "arguments are KEY=VALUE; bytes also @FILE or 0xHEX, lists and dicts JSON",
    "seal_malformed": "make it anew: zmqnode seal make",
    "seal_too_large": "send fewer operations in one seal",
    "seal_expired": "make it anew: zmqnode seal make",
    "seal_too_early": "compare this machine's clock with the nodes'",
    "pool_full": "send again a little later",
    "sender_quota": "wait for the seals on their way, then send again",
    "check_refused": "the application refuses this operation as it is",
    "query_failed": "ask for less, or for something else; the application said no",
    "proof_invalid": "ask another node; this one's answer is not to be trusted",
    "not_standby": "give the copy that does not vote; zmqnode node info shows its role",
    "already_active": "this copy votes already; zmqnode handover handback gives the vote back",
    "address_mismatch": "compare address in zmqnode node info of both copies",
    "identity_mismatch": "both copies of an address need the same privatekey in node.yml",
    "params_mismatch": "both copies need the same genesis.yml; zmqnode genesis show",
    "same_url": "give the new copy a network.url of its own in node.yml",
    "not_caught_up": "zmqnode wait synced, or start with --when-synced",
    "disk_low": "free some space on the disk of the new copy's data folder",
    "peers_unreachable": "members must reach the new copy at its network.url; zmqnode peers",
    "old_unreachable": "start the old copy, or if it is dead: handover start --takeover",
    "margin_negative": "bring a member back first, or start with --accept-halt-risk",
    "no_quorum": "bring a node back, or move the old copy's folder and zmqnode node adopt it",
    "handover_open": "zmqnode handover status --watch; then start again",
    "handover_cooldown": "start again when the time in details.wait_ms is over",
    "cosign_missing": "zmqnode handover cosign on f+1 other members, then --cosign FILE",
    "not_ready": "zmqnode peers on the members shows whether they reach the new copy",
    "consent_refused": "zmqnode handover status on the old copy; it must agree, or be taken over",
    "epoch_moved": "another copy has the vote now; zmqnode handover history",
    "vetoed": "the old copy is alive; hand over planned, or stop it first",
    "expired": "the chain did not decide in time; start again",
    "cancelled": "start again when it is wanted after all",
    "returned": "the new copy did not acknowledge; see its log, then start again",
    "too_late": "it is decided; zmqnode handover handback brings the vote back",
    "none_open": "zmqnode handover status shows the last one",
}
"""What to do where an error's place knows nothing better: each error has a hint."""


class ZmqnodeError(Exception):
    """Base of all errors meant for callers.

    Args:
        code: one of the documented codes, for example ``"unreachable"``.
        message: one sentence, what went wrong and where.
        hint: one sentence, what to do next; without one, the code's own of ``HINTS``.
        details: the offending values, ready for JSON.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, hint: str = "", **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint or HINTS.get(code, "")
        self.details: dict[str, object] = dict(details)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.message, self.hint, self.details))

    def to_json(self) -> dict[str, object]:
        """The object of the ``error`` key: code, message, hint, details."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }


class Refused(ZmqnodeError):
    """A check failed or the node said no; nothing is under way."""

    exit_code = 1


class Invalid(ZmqnodeError):
    """What the caller gave cannot be used: usage, config, key or file."""

    exit_code = 2


class Unreachable(ZmqnodeError):
    """Nothing was sent: nobody there, another key, or no answer to the handshake."""

    exit_code = 3


class Undecided(ZmqnodeError):
    """Sent, but without a final answer; asking again is safe."""

    exit_code = 4


class TimedOut(ZmqnodeError):
    """A condition was not met in time."""

    exit_code = 5


class Broken(ZmqnodeError):
    """The node stopped itself for safety; details hold ``cause`` and ``way_out``."""

    exit_code = 10


class Damaged(Broken):
    """Storage that cannot be trusted any more: a failed sync, a record damaged in the middle."""

    def __init__(self, message: str, *, hint: str = "", **details: object) -> None:
        super().__init__("broken", message, hint=hint, **details)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_damaged, (self.message, self.hint, self.details))


class Malformed(ValueError):
    """Bytes from outside that have no single reading; always the remote side's fault."""


BY_EXIT_CODE: dict[int, type[ZmqnodeError]] = {
    cls.exit_code: cls for cls in (Refused, Invalid, Unreachable, Undecided, TimedOut, Broken)
}


def from_json(error: dict[str, object], exit_code: int) -> ZmqnodeError:
    """The error a node sent, as the exception of its exit code (``Refused`` when unknown)."""
    details = error.get("details")
    known = {str(k): v for k, v in details.items()} if isinstance(details, dict) else {}
    cls = BY_EXIT_CODE.get(exit_code, Refused)
    built = cls(
        str(error.get("code", "")),
        str(error.get("message", "")),
        hint=str(error.get("hint", "")),
    )
    built.details = known
    return built


def _rebuild(
    cls: type[ZmqnodeError], code: str, message: str, hint: str, details: dict[str, object]
) -> ZmqnodeError:
    built = cls(code, message, hint=hint)
    built.details = details
    return built


def _rebuild_damaged(message: str, hint: str, details: dict[str, object]) -> Damaged:
    built = Damaged(message, hint=hint)
    built.details = details
    return built
