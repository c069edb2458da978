"""``app new``: the files a new application starts with."""

import keyword
import re
import sys
from pathlib import Path
from string import Template
from typing import Final

from zmqnode.errors import Invalid, Refused

_MODULE: Final = Template('''\
"""The application $name. Run it: zmqnode testnet up --app $module:app

Every node executes every operation and must come to the same result. So no clocks (use
ctx.time_ms), no chance, no floats, no files, no loop over a set (sort it), nothing kept in module
variables: only ctx.state. `zmqnode app check $module:app` looks for what breaks this.

Argument types: str int bytes bool list[T] dict[str, T] T | None
"""

from zmqnode import App, Reject

app = App("$name", version=1)


@app.op
def add(ctx, name: str, amount: int = 1):
    """Add to a counter: zmqnode seal send add name=apples amount=3"""
    if amount < 1:
        raise Reject("amount must be at least 1")  # Undone whole; the text is in the block.
    total = ctx.state.get(name, 0) + amount
    ctx.state[name] = total
    ctx.emit("added", name=name, total=total, by=ctx.sender)


@app.query
def total(view, name: str) -> int:
    """The value of a counter: zmqnode query total name=apples"""
    return view.get(name, 0)
''')

_TEST: Final = Template('''\
"""Tests of $name, without a network: python -m pytest test_$module.py"""

from $module import app
from zmqnode.app.trial import Trial


def test_amounts_add_up() -> None:
    trial = Trial(app)
    trial.run("add", name="apples", amount=2)
    ok, _, events = trial.run("add", name="apples")
    assert ok
    assert [name for name, _ in events] == ["added"]
    assert trial.query("total", name="apples") == 3


def test_nothing_is_taken_away() -> None:
    trial = Trial(app)
    assert trial.run("add", name="apples", amount=-1) == (False, "amount must be at least 1", ())
    assert trial.query("total", name="apples") == 0
''')


def app_files(name: str) -> dict[str, str]:
    """File name to text of a new application: its module and its tests.

    Raises:
        Invalid: ``usage``, the name is not 1 to 32 of a-z, 0-9, _ and - with a letter first, or
            its module would hide one of Python's.
    """
    module = name.replace("-", "_")
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name) is None:
        allowed = "1 to 32 of a-z, 0-9, _ and -, a letter first"
        raise Invalid("usage", f"an app's name is {allowed}, not {name!r:.60}")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module == "zmqnode":
        raise Invalid("usage", f"{module} is a name of Python's own; take another")
    words = {"name": name, "module": module}
    return {
        f"{module}.py": _MODULE.substitute(words),
        f"test_{module}.py": _TEST.substitute(words),
    }


def write_app(name: str, folder: Path) -> list[str]:
    """Write a new application's files; returns their paths, never overwrites.

    Raises:
        Invalid: as ``app_files``; ``file_missing``, the folder cannot be written to.
        Refused: ``already_exists``.
    """
    files = {folder / file: text for file, text in app_files(name).items()}
    for path in files:
        if path.exists():
            raise Refused("already_exists", f"{path} is there already", path=str(path))
    for path, text in files.items():
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise Invalid("file_missing", f"cannot write {path}: {error.strerror}") from None
    return [str(path) for path in files]
