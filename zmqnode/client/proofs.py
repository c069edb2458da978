"""Checking a query's proof, from nothing but the genesis hash the client pinned.

A node sends, beside the answer, the keys it read with their values and tree proofs, the manifest
of the block they were read under, its ACCEPT voteproof, the suffrage that signed it and the
manifest of block 0. From these follows:

* the manifest of block 0 has the pinned hash, so the suffrage it commits to is the first one;
* the suffrage of the block's height follows from that one by changes, each of them certified by the
  suffrage of its own height (:mod:`zmqnode.client.walking`);
* the voteproof is of that suffrage, reaches its quorum and names the hash of the manifest;
* every key is in, or not in, the tree under the manifest's state root.

The result itself is the application's doing. Where its code is at hand (built-in applications of
the same name and version), the query is run again on the proven keys alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from zmqnode.app import App
from zmqnode.app.loading import BUILT_IN, load_app
from zmqnode.base.block import Manifest
from zmqnode.base.codec import decode_as
from zmqnode.base.query import QueryAsked
from zmqnode.base.tree import Proof, verify_proof
from zmqnode.client.answers import ProofInfo, ProvenKey, QueryAnswer
from zmqnode.client.node_link import Chain
from zmqnode.client.walking import SuffrageWalk, invalid, members_in, reading
from zmqnode.errors import Malformed, ZmqnodeError

APP_PREFIX: Final = b"a"


def checked(
    answer: QueryAnswer, asked: QueryAsked, given: object, chain: Chain, walk: SuffrageWalk
) -> QueryAnswer:
    """The answer with what its proof shows.

    Args:
        walk: who may sign, followed as far as the proof's height.
    Raises:
        Refused: ``proof_invalid``, the first thing that does not hold; do not use the answer.
    """
    with reading():
        manifest, signers = _certified(given, walk)
        proven = _proven(given, manifest)
    said = (answer.height, answer.block_hash, answer.state_root)
    if said != (manifest.height, manifest.hash.hex(), manifest.state_root.hex()):
        raise invalid("it is of another block than the answer")
    info = ProofInfo(
        verified=True,
        result_checked=_runs_the_same(answer, asked, proven, chain),
        keys=tuple(
            ProvenKey(key=_shown(key), present=value is not None) for key, value in proven.items()
        ),
        signers=signers,
    )
    return QueryAnswer(
        name=answer.name,
        result=answer.result,
        type=answer.type,
        height=answer.height,
        block_hash=answer.block_hash,
        state_root=answer.state_root,
        proof=info,
    )


def _certified(given: Any, walk: SuffrageWalk) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest that a quorum of its height's suffrage signed, and who did."""
    genesis = decode_as(Manifest, given["genesis"])
    if genesis.hash != walk.domain.genesis:
        raise invalid("its block 0 is not the one this client knows")
    manifest = decode_as(Manifest, given["manifest"])
    if manifest.height == 0:
        if manifest != genesis:
            raise invalid("it is of another block 0")
        return manifest, ()
    if members_in(given["suffrage"]).hash != walk.at(manifest.height).hash:
        raise invalid("its suffrage does not follow from genesis")
    return manifest, walk.certified(manifest, given["accept_voteproof"])


def _proven(given: Any, manifest: Manifest) -> dict[bytes, bytes | None]:
    proven: dict[bytes, bytes | None] = {}
    for key, value, wire in given["keys"]:
        if type(key) is not bytes or not (value is None or type(value) is bytes):
            raise Malformed("no key and value")
        if not verify_proof(manifest.state_root, key, value, Proof.from_wire(wire)):
            raise invalid(f"the key {_shown(key)!r} is not what the state root says")
        proven[key] = value
    return proven


def _runs_the_same(
    answer: QueryAnswer, asked: QueryAsked, proven: dict[bytes, bytes | None], chain: Chain
) -> bool:
    """Whether the query, run on the proven keys alone, gives the result; False: no code here."""
    app = _known_app(chain)
    if app is None:
        return False

    def read(key: bytes) -> bytes | None:
        if key not in proven:
            raise invalid(f"it leaves out the key {_shown(key)!r}")
        return proven[key]

    def scan(prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        raise invalid("the query lists keys, which no proof covers")

    try:
        again = app.answer(asked.name, asked.arguments, read, scan)
    except ZmqnodeError as error:
        if error.code == "proof_invalid":
            raise
        raise invalid(f"the query fails on the proven keys: {error.message}") from None
    if again.result != answer.result:
        raise invalid("the query gives another result on the proven keys")
    return True


def _known_app(chain: Chain) -> App | None:
    if chain.schema.name not in BUILT_IN:
        return None
    app = load_app(chain.schema.name)
    return app if app.version == chain.schema.version else None


def _shown(key: bytes) -> str:
    return key.removeprefix(APP_PREFIX).decode(errors="backslashreplace")
