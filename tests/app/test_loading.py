"""``load_app``: from a name in a config to an application, or to what is wrong."""

import json
from pathlib import Path

import pytest

from zmqnode.app import load_app
from zmqnode.apps.kv import app as kv
from zmqnode.errors import Invalid


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", r"neither built in \(kv\) nor MODULE:APP"),
        ("a:b:c", "neither"),
        ("a b:app", "neither"),
        (":app", "neither"),
        ("surely_not_there:app", "no module surely_not_there in"),
        ("json.nope:app", "no module json.nope"),
        ("json:app", "json has no app"),
        ("json:loads", "loads is no App but function"),
        ("empty:app", "no operations"),
        ("broken:app", r"ZeroDivisionError at .*broken.py:2"),
        ("typo:app", r"SyntaxError at .*typo.py:1"),
        ("leaves:app", "SystemExit"),
        ("needs:app", "ModuleNotFoundError at .*needs.py:1: No module named 'not_installed'"),
        ("floats:app", "app floats:app: operation f: argument x: float"),
        ("other:application", "other has no application"),
    ],
)
def test_an_app_that_cannot_be_loaded(tmp_path: Path, name: str, message: str) -> None:
    for module, text in {
        "empty": "from zmqnode import App\napp = App('empty')",
        "broken": "\n1 // 0",
        "typo": "def f(:",
        "leaves": "import sys; sys.exit(1)",
        "needs": "import not_installed",
        "floats": "from zmqnode import App\napp = App('x')\n@app.op\ndef f(ctx, x: float): ...",
        "other": "from zmqnode import App\nbank = App('x')\n@bank.op\ndef f(ctx): ...",
    }.items():
        (tmp_path / f"{module}.py").write_text(text)
    with pytest.raises(Invalid, match=message) as caught:
        load_app(name, [tmp_path])
    assert caught.value.code == "config_invalid"


def test_modules_of_one_name_in_two_folders(tmp_path: Path) -> None:
    """Goal: two nodes of one process, or two tests, each get their own folder's app."""
    text = (
        "from zmqnode import App\nfrom twin_helper import NAME\n"
        "app = App(NAME)\n@app.op\ndef f(ctx): ..."
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "twin_app.py").write_text(text.replace("NAME)", f"NAME + '-{name}')"))
    (tmp_path / "one" / "twin_helper.py").write_text("NAME = 'twin'")
    for name in ("one", "two", "one"):
        assert load_app("twin_app:app", [tmp_path / name]).name == f"twin-{name}"


def test_a_module_cannot_take_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("app = 1")
    with pytest.raises(Invalid, match="the name json is taken"):
        load_app("json:app", [tmp_path])
    assert json.loads("1") == 1


def test_an_app_in_a_package(tmp_path: Path) -> None:
    (tmp_path / "bank_package").mkdir()
    (tmp_path / "bank_package" / "__init__.py").write_text("")
    (tmp_path / "bank_package" / "chain.py").write_text(
        "from zmqnode import App\napp = App('bank')\n@app.op\ndef f(ctx): ..."
    )
    assert load_app("bank_package.chain:app", [tmp_path]).name == "bank"
    assert load_app("kv") is kv
