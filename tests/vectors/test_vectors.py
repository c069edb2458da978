"""The wire format, the hashes and the key texts are the ones that were pinned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import zmqnode.base
import zmqnode.core
import zmqnode.network
from tests.vectors import make
from tests.vectors.samples import MESSAGES
from zmqnode.base.block import decode_block
from zmqnode.base.codec import decode, registered
from zmqnode.base.results import decode_results
from zmqnode.base.seal import read_seal

FOLDER = Path(__file__).parent
PINNED = {file.stem: json.loads(file.read_text()) for file in FOLDER.glob("*.json")}
MADE = make.vectors()


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file, content in PINNED.items() for name in content]
)
def test_what_is_made_is_what_was_pinned(file: str, name: str) -> None:
    """Goal: no unnoticed change of bytes that other nodes, chains or clients rely on."""
    assert MADE[file].get(name) == PINNED[file][name]


def test_everything_made_is_pinned() -> None:
    assert {file: list(content) for file, content in MADE.items()} == {
        file: list(content) for file, content in PINNED.items()
    }


def test_every_registered_message_has_a_vector() -> None:
    """Goal: no message without one. Method: import every file that could register any."""
    for room in (zmqnode.base, zmqnode.core, zmqnode.network):
        for file in sorted(Path(room.__path__[0]).glob("*.py")):
            __import__(f"{room.__name__}.{file.stem}")
    sampled = {type(sample) for sample in MESSAGES.values()}
    ours = {cls for cls in registered().values() if cls.__module__.startswith("zmqnode.")}
    assert ours - sampled == set()


@pytest.mark.parametrize("name", MESSAGES)
def test_pinned_bytes_are_read_as_the_message_they_were_made_of(name: str) -> None:
    assert decode(bytes.fromhex(PINNED["wire"][name])) == MESSAGES[name]


def test_pinned_bytes_of_seal_block_and_results_are_read() -> None:
    wire = {name: bytes.fromhex(text) for name, text in PINNED["wire"].items()}
    assert read_seal(wire["seal"]).hash.hex() == PINNED["hashes"]["seal"]
    assert decode_block(wire["block.0"]).hash.hex() == PINNED["hashes"]["genesis"]
    assert decode_block(wire["block.1"]).hash.hex() == PINNED["hashes"]["block"]
    assert len(decode_results(wire["results"])) == 2


def test_the_key_of_the_contract_has_the_texts_of_the_contract() -> None:
    """DESIGN.md section 2 prints both."""
    assert PINNED["keys"]["printed"]["private"] == (
        "KyfqCLSEyfUhskZ63WtVH3m3pGgnurFHuTgkgu73Pgyjf8sxbp8Rmpr"
    )
    assert PINNED["keys"]["printed"]["public"] == (
        "GkhMcC4LDk22FsRGoQ4qAjuZ2BZERof7VSfmNy9HfW3F3MpQvmpu"
    )
