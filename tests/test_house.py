"""The house's own laws: sizes, cheap imports, one version, nothing in the wrong file."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import zmqnode
from zmqnode.commands.main import WORDS, build

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 50
FOLDER_FILES_MIN = 3
DRAWERS = ("utils", "util", "helpers", "helper", "manager", "common", "misc")

SOURCES = sorted([*(ROOT / "zmqnode").rglob("*.py"), ROOT / "cli.py"])
FOLDERS = sorted({source.parent for source in SOURCES} - {ROOT, ROOT / "zmqnode"})
GROWING = ("apps",)  # Of the built-in applications, currency is still to come.


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the name to the end, the docstring not counted."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    told = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - told


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_keep_to_their_size(source: Path) -> None:
    text = source.read_text()
    assert text.count("\n") <= FILE_LINES_MAX
    long = {one.name: body_lines(one) for one in functions(ast.parse(text))}
    assert {name: count for name, count in long.items() if count > FUNCTION_LINES_MAX} == {}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_and_none_is_a_drawer(source: Path) -> None:
    assert source.stem not in DRAWERS
    assert ast.get_docstring(ast.parse(source.read_text())) is not None


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_has_three_files_to_exist(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) >= FOLDER_FILES_MIN or folder.name in GROWING


@pytest.mark.parametrize("room", ["base", "core"])
def test_the_pure_rooms_iterate_no_set(room: str) -> None:
    """A set's order differs between processes. Seen here: literals, comprehensions, set(..)."""
    found = []
    for source in (ROOT / "zmqnode" / room).glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, (ast.For, ast.comprehension)) and makes_set(node.iter):
                found.append(f"{source.name}:{node.iter.lineno}")
    assert found == []


def makes_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")
    return isinstance(node, (ast.Set, ast.SetComp))


def test_there_is_one_version() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    version = parser["metadata"]["version"]
    assert zmqnode.__version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_pyproject_holds_the_build_system_only() -> None:
    assert list(tomllib.loads((ROOT / "pyproject.toml").read_text())) == ["build-system"]


def test_the_lowest_versions_tried_are_the_ones_promised() -> None:
    setup, tox = configparser.ConfigParser(), configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    tox.read(ROOT / "tox.ini")
    promised = setup["options"]["install_requires"] + setup["options.extras_require"]["test"]
    tried = tox["testenv:lowest"]["deps"].replace("==", ">=")
    assert tried.split() == promised.split()


def loaded_by(statement: str) -> set[str]:
    """The top names of all modules a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    return set(done.stdout.splitlines()[-1].split())


# pydantic: what newer versions of Typer read values with; as slow to import as all the rest of it.
HEAVY = {"zmq", "nacl", "lmdb", "yaml", "rich", "asyncio", "msgpack", "pydantic"}


def test_the_public_names_are_loaded_on_use() -> None:
    assert loaded_by("import zmqnode") & (HEAVY | {"typer"}) == set()
    assert "zmq" not in loaded_by("from zmqnode import App, Reject, Config")


def test_help_loads_no_room() -> None:
    statement = "from zmqnode.commands.main import main\nmain(['--help'])"
    assert loaded_by(statement) & HEAVY == set()


@pytest.mark.parametrize("word", [word.name for word in WORDS])
def test_the_help_of_no_word_loads_what_its_commands_need(word: str) -> None:
    """Goal: help at once. asyncio is the standard library's and let be where it is wanted."""
    statement = f"from zmqnode.commands.main import main\nmain(['{word}', '--help'])"
    assert loaded_by(statement) & (HEAVY - {"asyncio"}) == set()


@pytest.mark.parametrize("words", [["handover", "start"], ["testnet", "up"], ["node", "run"]])
def test_the_help_of_a_command_in_a_group_loads_none_of_it_either(words: list[str]) -> None:
    statement = f"from zmqnode.commands.main import main\nmain({[*words, '-h']})"
    assert loaded_by(statement) & (HEAVY - {"asyncio"}) == set()


def test_every_public_name_is_there() -> None:
    for name in zmqnode.__all__:
        assert getattr(zmqnode, name) is not None
    with pytest.raises(AttributeError):
        _ = zmqnode.Nothing


def test_every_word_of_the_command_line_has_its_file_and_no_file_lacks_its_word() -> None:
    files = (ROOT / "zmqnode" / "commands").glob("*.py")
    with_app = [file.stem for file in files if "\napp = typer.Typer(" in file.read_text()]
    assert sorted(word.name for word in WORDS) == sorted(with_app)
    build(None)


def test_the_door_does_nothing_else() -> None:
    run = [sys.executable, "cli.py", "version", "--json"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    assert done.stdout.startswith('{"v":1,"version":"' + zmqnode.__version__)
