"""The client: ask nodes, submit operations, wait for what happens, verify what they say.

``Client`` is for asyncio, ``SyncClient`` the same for plain code. Answers are frozen dataclasses
with the names of the command line's JSON.
"""

from zmqnode.client.answers import (
    BlockHeader,
    BlockInfo,
    NodeInfo,
    PeerInfo,
    QueryAnswer,
    Receipt,
    SealInfo,
    Standing,
    Stopped,
    SuffrageInfo,
)
from zmqnode.client.client import Client
from zmqnode.client.feed_answers import (
    BlockEvent,
    Event,
    EvidenceEvent,
    HandoverEvent,
    OperationEvent,
    Snapshot,
    StateEvent,
)
from zmqnode.client.handover_answers import (
    Check,
    CosignInfo,
    Phase,
    Preflight,
    Session,
    SessionError,
)
from zmqnode.client.sync import SyncClient

__all__ = [
    "BlockEvent",
    "BlockHeader",
    "BlockInfo",
    "Check",
    "Client",
    "CosignInfo",
    "Event",
    "EvidenceEvent",
    "HandoverEvent",
    "NodeInfo",
    "OperationEvent",
    "PeerInfo",
    "Phase",
    "Preflight",
    "QueryAnswer",
    "Receipt",
    "SealInfo",
    "Session",
    "SessionError",
    "Snapshot",
    "Standing",
    "StateEvent",
    "Stopped",
    "SuffrageInfo",
    "SyncClient",
]
