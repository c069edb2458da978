"""The root of the command line: which words there are, and where each one's file is.

One file per group, imported only when its word is typed: ``zmqnode --help`` reads this table alone,
and the heavy rooms (zmq, the node, the simulator) are loaded by the commands that need them. A new
group is one row here and a file ``zmqnode/commands/NAME.py`` with ``app = typer.Typer()``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import typer
from typer.core import TyperGroup

from zmqnode.commands import terminal

NAME: Final = "zmqnode"
COMPLETE_VARIABLE: Final = "_ZMQNODE_COMPLETE"
# The help option has no default of its own, and Typer reads a value that is none of its type's
# through pydantic; a default that is a bool spares every command that import on its way.
CONTEXT: Final = {"help_option_names": ["-h", "--help"], "default_map": {"help": False}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A first word of the command line.

    Its file's ``app`` is a group of commands below the word; with ``lone`` the app holds one
    command, of the word's name.
    """

    name: str
    help: str
    lone: bool = False

    @property
    def module(self) -> str:
        """Where its ``app`` is."""
        return f"zmqnode.commands.{self.name}"


WORDS: Final = (
    Word(name="demo", help="A local network under load, a killed node, an audit.", lone=True),
    Word(name="testnet", help="A local network of real processes."),
    Word(name="node", help="Make, run, ask and stop one copy of a node."),
    Word(name="handover", help="Let another copy of an address vote in its place, live."),
    Word(name="seal", help="Make and send signed operations."),
    Word(name="query", help="Ask the application's state.", lone=True),
    Word(name="block", help="Show and verify blocks."),
    Word(name="suffrage", help="Who may vote."),
    Word(name="peers", help="The target's links to other copies.", lone=True),
    Word(name="monitor", help="A node, or a whole local network, live on the terminal.", lone=True),
    Word(name="events", help="What happens, one line each; a stream to resume.", lone=True),
    Word(name="check", help="Whether a node is well; for monitoring systems.", lone=True),
    Word(name="wait", help="Wait for a height, a state, a seal."),
    Word(name="genesis", help="Assemble, show and verify a chain's beginning."),
    Word(name="key", help="Make keys, show, sign, verify."),
    Word(name="config", help="Check and show a node.yml."),
    Word(name="ctx", help="Names for targets."),
    Word(name="service", help="Files that run a node under systemd or Docker."),
    Word(name="dashboard", help="A Grafana dashboard and alert rules for a node's metrics."),
    Word(name="app", help="Start an application; check that it is deterministic."),
    Word(name="sim", help="Run the protocol in a seeded, faulty world."),
    Word(name="bench", help="Measure this machine against the goals.", lone=True),
    Word(name="completion", help="Make the shell complete these words.", lone=True),
    Word(name="debug", help="What to send to who shall help."),
    Word(name="version", help="Versions of zmqnode and what it stands on.", lone=True),
)


class _InOrder(TyperGroup):
    """The words in the order of the table, which is that of a newcomer's way."""

    def list_commands(self, ctx: object) -> list[str]:
        """As the help shows them."""
        return [word.name for word in WORDS]


def build(word: str | None) -> typer.Typer:
    """The root app.

    Args:
        word: the first word typed; only its file is imported. None: all are.
    """
    root = typer.Typer(
        name=NAME,
        cls=_InOrder,
        help="A Byzantine-fault-tolerant node over ZeroMQ, replaceable while it runs.",
        context_settings=CONTEXT,
        # Typer's completion lives in two options of the root, which every command line would read,
        # at the price of importing pydantic; a shell that asks sets the variable. To print the
        # script there is `zmqnode completion`.
        add_completion=COMPLETE_VARIABLE in os.environ,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    root.callback()(_root)
    for one in WORDS:
        if word is None or one.name == word:
            _add(root, one)
        elif one.lone:
            root.command(one.name, help=one.help)(_nothing)
        else:
            group = typer.Typer(help=one.help, context_settings=CONTEXT)
            group.callback()(_nothing)
            root.add_typer(group, name=one.name, help=one.help)
    return root


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command line; the exit code.

    Args:
        words: the words after the program's name; None: the process's own.
    """
    typed = list(sys.argv[1:] if words is None else words) or ["--help"]
    return terminal.run(lambda: _invoke(typed), typed)


def _invoke(typed: Sequence[str]) -> int:
    words = _completed() if COMPLETE_VARIABLE in os.environ else typed
    root = build(next((word for word in words if not word.startswith("-")), ""))
    # Typer answers with an exit code where a command raised typer.Exit, else with what the
    # command returned: nothing.
    code = root(args=list(typed), prog_name=NAME, standalone_mode=False)
    return code if isinstance(code, int) else 0


def _completed() -> Sequence[str]:
    """The words a shell asks about, as Typer's completion scripts hand them over."""
    asked = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return asked.split()[1:]


def _add(root: typer.Typer, word: Word) -> None:
    app: typer.Typer = import_module(word.module).app
    if word.lone:
        root.add_typer(app)
    else:
        root.add_typer(app, name=word.name, help=word.help, context_settings=CONTEXT)


def _root() -> None:
    """Keeps the root a group even if it had one command only."""


def _nothing() -> None:
    """Stands for a command whose file was not needed."""
