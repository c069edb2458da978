"""From a name in a config to an application: ``kv``, or ``module:app``.

A module is looked for in the folders given, first to last, then where Python looks. The folders
go to the *end* of ``sys.path``: the module itself is found in them first, but a ``random.py`` there
does not take the place of the standard library's for everybody else in the process.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

from zmqnode.app.application import App
from zmqnode.errors import Invalid

BUILT_IN: Final = {"kv": "zmqnode.apps.kv:app"}

# Top-level modules this function loaded from a folder, by name: only these may be replaced.
_loaded: dict[str, ModuleType] = {}


def load_app(name: str, search_paths: Sequence[str | Path] = ()) -> App:
    """The application a config names.

    Args:
        name: a built-in (``kv``) or ``module:attribute``, the module dotted if need be.
        search_paths: folders to look in before Python's own.
    Raises:
        Invalid: ``config_invalid``, and what is wrong: no such module, an error while it was
            imported (with its place), no such attribute, no App, an App without operations.
    """
    target = BUILT_IN.get(name, name)
    module_name, colon, attribute = target.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        names = ", ".join(BUILT_IN)
        message = f"app {name!r:.100} is neither built in ({names}) nor MODULE:APP"
        raise Invalid("config_invalid", message, hint="name it like bank:app")
    folders = [Path(one).resolve() for one in search_paths]
    module = _import(module_name, name, folders)
    if not hasattr(module, attribute):
        apps = [key for key, value in vars(module).items() if isinstance(value, App)]
        hint = f"it has: {module_name}:{apps[0]}" if apps else "write: app = App(NAME)"
        raise Invalid("config_invalid", f"app {name}: {module_name} has no {attribute}", hint=hint)
    found = getattr(module, attribute)
    if not isinstance(found, App):
        kind = type(found).__name__
        raise Invalid("config_invalid", f"app {name}: {attribute} is no App but {kind}")
    if not found.operations:
        hint = "decorate a function with @app.op"
        raise Invalid("config_invalid", f"app {name} has no operations", hint=hint)
    return found


def _import(module_name: str, name: str, folders: list[Path]) -> ModuleType:
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    top = module_name.partition(".")[0]
    try:
        spec = PathFinder.find_spec(top, [str(folder) for folder in folders])
        if spec is not None and spec.loader is not None:
            _load_top(top, spec, name)
        return importlib.import_module(module_name)
    except Invalid as error:
        raise Invalid(error.code, f"app {name}: {error.message}", hint=error.hint) from error
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            where = ", ".join(str(folder) for folder in folders) or "no folders"
            message = f"app {name}: there is no module {error.name} in {where}"
            raise Invalid("config_invalid", message, hint="set app-path") from None
        raise _import_failed(name, error) from error
    except (Exception, SystemExit) as error:
        # A foreign module may raise anything while it is imported, also by sys.exit().
        raise _import_failed(name, error) from error


def _load_top(top: str, spec: ModuleSpec, name: str) -> None:
    """Import a top-level module from the place that was found, unless it is in already."""
    known = sys.modules.get(top)
    if known is not None:
        if getattr(known.__spec__, "origin", None) == spec.origin:
            return
        if _loaded.get(top) is not known:
            message = f"app {name}: the name {top} is taken by another module; rename {spec.origin}"
            raise Invalid("config_invalid", message)
        # Another project's module of the same name, as when two nodes share a process.
        for key in [key for key in sys.modules if key == top or key.startswith(f"{top}.")]:
            del sys.modules[key]
    module = importlib.util.module_from_spec(spec)
    sys.modules[top] = module
    try:
        assert spec.loader is not None
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[top]
        raise
    _loaded[top] = module


def _import_failed(name: str, error: BaseException) -> Invalid:
    kind, frames = type(error).__name__, traceback.extract_tb(error.__traceback__)
    where = ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f" at {error.filename}:{error.lineno}"
    elif frames and not frames[-1].filename.startswith("<"):
        where = f" at {frames[-1].filename}:{frames[-1].lineno}"
    return Invalid("config_invalid", f"app {name}: {kind}{where}: {error!s:.300}")
