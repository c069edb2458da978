"""Checking a query's proof, from nothing but the genesis hash the client pinned.

A node sends, beside the answer, the keys it read with their values and tree proofs, the manifest
of the block they were read under, its ACCEPT voteproof, the suffrage that signed it and the
manifest of block 0. From these follows:

* the manifest of block 0 has the pinned hash, so the suffrage it commits to is the first one;
* the voteproof is of that suffrage, reaches its quorum and names the hash of the manifest;
* every key is in, or not in, the tree under the manifest's state root.

A suffrage that is not the first one is not accepted here: a client that is to follow changes has to
walk them, one by one.

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
from zmqnode.base.keys import Address, PublicKey, verify
from zmqnode.base.point import Stage
from zmqnode.base.query import QueryAsked
from zmqnode.base.suffrage import Member, Suffrage
from zmqnode.base.tree import Proof, verify_proof
from zmqnode.base.voteproof import Voteproof, check_voteproof
from zmqnode.client.answers import ProofInfo, ProvenKey, QueryAnswer
from zmqnode.client.node_link import Chain
from zmqnode.errors import Malformed, Refused, ZmqnodeError

APP_PREFIX: Final = b"a"


def checked(answer: QueryAnswer, asked: QueryAsked, given: object, chain: Chain) -> QueryAnswer:
    """The answer with what its proof shows.

    Raises:
        Refused: ``proof_invalid``, the first thing that does not hold; do not use the answer.
    """
    try:
        manifest, signers = _certified(given, chain)
        proven = _proven(given, manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(f"it cannot be read ({type(error).__name__}: {error})") from None
    said = (answer.height, answer.block_hash, answer.state_root)
    if said != (manifest.height, manifest.hash.hex(), manifest.state_root.hex()):
        raise _invalid("it is of another block than the answer")
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


def _certified(given: Any, chain: Chain) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest that a quorum signed, and who did."""
    genesis = decode_as(Manifest, given["genesis"])
    if genesis.hash != chain.domain.genesis:
        raise _invalid("its block 0 is not the one this client knows")
    manifest = decode_as(Manifest, given["manifest"])
    if manifest.height == 0:
        if manifest != genesis:
            raise _invalid("it is of another block 0")
        return manifest, ()
    suffrage = Suffrage(members=tuple(_member(row) for row in given["suffrage"]))
    if suffrage.hash != genesis.suffrage:
        raise _invalid("its suffrage does not follow from genesis")
    vp = decode_as(Voteproof, given["accept_voteproof"])
    fact = vp.fact
    names = (fact.height, fact.stage, fact.value, fact.block)
    if names != (manifest.height, Stage.ACCEPT, manifest.value, manifest.hash):
        raise _invalid("its voteproof is of another block")
    if not check_voteproof(vp, suffrage, chain.domain, verify):
        raise _invalid("its voteproof does not hold")
    return manifest, vp.addresses


def _member(row: Any) -> Member:
    address, publickey, instance, epoch, url = row
    if not all(type(one) is bytes for one in (publickey, instance)) or type(epoch) is not int:
        raise Malformed("no member")
    return Member(
        address=Address(str(address)),
        publickey=PublicKey(publickey),
        instance=PublicKey(instance),
        epoch=epoch,
        url=str(url),
    )


def _proven(given: Any, manifest: Manifest) -> dict[bytes, bytes | None]:
    proven: dict[bytes, bytes | None] = {}
    for key, value, wire in given["keys"]:
        if type(key) is not bytes or not (value is None or type(value) is bytes):
            raise Malformed("no key and value")
        if not verify_proof(manifest.state_root, key, value, Proof.from_wire(wire)):
            raise _invalid(f"the key {_shown(key)!r} is not what the state root says")
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
            raise _invalid(f"it leaves out the key {_shown(key)!r}")
        return proven[key]

    def scan(prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        raise _invalid("the query lists keys, which no proof covers")

    try:
        again = app.answer(asked.name, asked.arguments, read, scan)
    except ZmqnodeError as error:
        if error.code == "proof_invalid":
            raise
        raise _invalid(f"the query fails on the proven keys: {error.message}") from None
    if again.result != answer.result:
        raise _invalid("the query gives another result on the proven keys")
    return True


def _known_app(chain: Chain) -> App | None:
    if chain.schema.name not in BUILT_IN:
        return None
    app = load_app(chain.schema.name)
    return app if app.version == chain.schema.version else None


def _shown(key: bytes) -> str:
    return key.removeprefix(APP_PREFIX).decode(errors="backslashreplace")


def _invalid(why: str) -> Refused:
    return Refused(
        "proof_invalid",
        f"the node's proof does not hold: {why}",
        hint="do not use its answer; ask another node",
    )
