"""``zmqnode config``: check a file, show what it means, print its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zmqnode.commands import terminal
from zmqnode.commands.options import JsonOption
from zmqnode.errors import Invalid

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer()

FileArgument = Annotated[
    Path, typer.Argument(metavar="[FILE]", help="A node.yml, its folder, or a genesis.yml.")
]


@app.command()
def check(file: FileArgument = Path("node.yml"), as_json: JsonOption = False) -> None:
    """Check a file; exit 2 with findings."""
    from zmqnode.config import load_genesis, load_node
    from zmqnode.config.node import GENESIS_FILE, node_file

    file = node_file(file)
    findings: Any = []
    try:
        if file.name.endswith(GENESIS_FILE):
            load_genesis(file)
        else:
            config, _ = load_node(file)
            for warning in config.warnings:
                terminal.warn(warning)
    except Invalid as error:
        if "findings" not in error.details:
            raise
        findings = error.details["findings"]
    answer = {"ok": not findings, "file": str(file), "findings": findings}
    terminal.show(answer, as_panel=_findings, as_json=as_json, failed=2)


@app.command()
def show(
    file: FileArgument = Path("node.yml"),
    origin: Annotated[bool, typer.Option("--origin", help="Where each value comes from.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a node.yml means, defaults included; never a secret."""
    from zmqnode.config import load_node

    config, origins = load_node(file)
    answer = {"config": config.json(), "origin": origins}
    terminal.show(answer, as_panel=_with_origin if origin else _alone, as_json=as_json)


@app.command()
def schema(as_json: JsonOption = False) -> None:
    """Print the JSON Schema of node.yml, for editors."""
    from zmqnode.config.node import NODE, NODE_FILE
    from zmqnode.config.schema import json_schema

    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": NODE_FILE,
        **json_schema(NODE),
    }
    terminal.show(described, as_panel=_indented, as_json=as_json)


def _findings(answer: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    if answer["ok"]:
        return Text(f"{answer['file']}: ok")
    return Text("\n".join(_line(finding) for finding in answer["findings"]))


def _line(finding: dict[str, Any]) -> str:
    where = f"{finding['file']}:{finding['line']}:{finding['column']}"
    meant = f" (did you mean {finding['suggestion']}?)" if finding["suggestion"] else ""
    path = f"{finding['path']}: " if finding["path"] else ""  # None: it is about the whole file.
    return terminal.clean(f"{where}: {path}{finding['message']}{meant}")


def _alone(answer: dict[str, Any]) -> RenderableType:
    from zmqnode.commands import view

    grid = view.pairs()
    for path, value in _flat(answer["config"]):
        grid.add_row(path, view.text(value))
    return grid


def _with_origin(answer: dict[str, Any]) -> RenderableType:
    from zmqnode.commands import view

    grid = view.pairs()
    grid.add_column(style="dim", overflow="fold")
    for path, value in _flat(answer["config"]):
        grid.add_row(path, view.text(value), answer["origin"].get(path, ""))
    return grid


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found


def _indented(answer: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    return Text(json.dumps(answer, indent=2))
