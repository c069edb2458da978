"""Looking at an application's source for what differs between nodes: half of ``app check``.

Theory. Running an operation twice finds only what its samples reach; the source shows the rest.
The walk begins at the operations and follows the names they use to other functions and classes of
the author's own modules. Names are resolved to the objects they mean, so ``from time import time
as now`` is found and a local variable called ``time`` is not. Queries and ``check`` are left out:
they run on one node only and may differ.

It is a lint: it can be wrong both ways. What it cannot resolve (an attribute of an argument, a
function taken from a table) it passes over.
"""

import ast
import builtins
import inspect
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from zmqnode.app.application import App

FUNCTIONS_MAX: Final = 2000  # Looked at of one application.


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that may make nodes disagree.

    Attributes:
        operation: which is concerned; empty if it is the application as a whole.
        key: the state key that came out differently; empty if there is none.
        message: what, why, and what to do instead.
        file, line: where, if it is a place in the source.
    """

    operation: str
    key: str
    message: str
    file: str | None = None
    line: int | None = None


_CLOCK: Final = "clocks differ between nodes; use ctx.time_ms"
_CHANCE: Final = "chance differs between nodes; derive it from ctx.hash"
_WORLD: Final = "files, network and environment differ between nodes; pass an argument"
_ORDER: Final = "threads and tasks run in another order on every node"
_FLOAT: Final = "floats round differently on other machines; count in the smallest unit, as int"
_KEPT: Final = "what is kept outside ctx.state is lost at a restart"

_MODULES: Final[dict[str, str]] = {
    **dict.fromkeys(("time", "_time", "zoneinfo", "calendar"), _CLOCK),
    **dict.fromkeys(("random", "_random", "secrets", "uuid", "numpy"), _CHANCE),
    **dict.fromkeys(
        ("os", "posix", "nt", "io", "_io", "pathlib", "shutil", "tempfile", "glob", "socket"),
        _WORLD,
    ),
    **dict.fromkeys(
        ("subprocess", "platform", "locale", "getpass", "sqlite3", "urllib", "http", "requests"),
        _WORLD,
    ),
    **dict.fromkeys(("threading", "_thread", "asyncio", "multiprocessing", "concurrent"), _ORDER),
    **dict.fromkeys(("cmath", "statistics"), _FLOAT),
}
_BUILTINS: Final[dict[str, str]] = {
    "open": _WORLD,
    "input": _WORLD,
    "id": "it is an address in memory, another one on every node",
    "hash": "the hash of text and bytes differs in every process; use hashlib",
    "float": _FLOAT,
    "complex": _FLOAT,
    "globals": _KEPT,
}
_NOW: Final = ("now", "utcnow", "today", "fromtimestamp")  # Of datetime and date.
_EXACT_MATH: Final = ("ceil", "comb", "factorial", "floor", "gcd", "isqrt", "lcm", "perm", "prod")
_CHANGING: Final = (
    *("add", "append", "appendleft", "clear", "discard", "extend", "insert"),
    *("pop", "popitem", "remove", "setdefault", "update"),
)
_ORDERLESS: Final = ("all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum")
_ORDERED: Final = ("enumerate", "filter", "iter", "list", "map", "next", "tuple", "zip")
_SET_METHODS: Final = ("copy", "difference", "intersection", "symmetric_difference", "union")
_SWALLOWING: Final = ("BaseException", "Exception", "MemoryError", "RecursionError")

_MISSING: Final = object()


def lint(app: App) -> list[Finding]:
    """What in the source of an application's operations may differ between nodes.

    Returns:
        Findings in the order of operations and lines, each place once.
    """
    roots: list[tuple[str, Any]] = [
        (name, call[0]) for name, call in sorted(app.operations.items())
    ]
    if app.founder is not None:
        roots.append(("", app.founder))
    found: dict[tuple[str | None, int | None, str], Finding] = {}
    seen: dict[int, object] = {}
    queue = list(roots)
    while queue and len(seen) < FUNCTIONS_MAX:
        operation, function = queue.pop(0)
        function = inspect.unwrap(function)
        if id(function) in seen or not _is_authors(function):
            continue
        seen[id(function)] = function
        source = _source_of(function)
        if source is None:
            continue
        reader = _Reader(function)
        for line, message in reader.read(source):
            file = function.__code__.co_filename
            finding = Finding(operation=operation, key="", message=message, file=file, line=line)
            found.setdefault((file, line, message), finding)
        queue += [(operation, used) for used in reader.used]
    return list(found.values())


def _is_authors(function: object) -> bool:
    """Whether the function is of the application's own source, not of Python or a package."""
    if not isinstance(function, types.FunctionType):
        return False
    file = Path(function.__code__.co_filename)
    package = Path(__file__).parent.parent
    if file.is_relative_to(package):
        return file.is_relative_to(package / "apps")
    paths = sysconfig.get_paths()
    return not any(file.is_relative_to(paths[one]) for one in ("stdlib", "purelib", "platlib"))


def _source_of(function: Callable[..., Any]) -> ast.AST | None:
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError):
        return None  # Made by exec, or a lambda in the middle of a line.
    ast.increment_lineno(tree, first - 1)
    return tree


class _Reader:
    """One function's source, with the names it can see."""

    def __init__(self, function: types.FunctionType) -> None:
        self.globals = function.__globals__
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
        self.closure = {name: _content(cell) for name, cell in cells}
        self.used: list[Any] = []  # Functions of the author's that this one names.
        self.locals: dict[str, None] = {}
        self.imports: dict[str, str] = {}
        self.sets: dict[str, None] = {}  # Local names that hold sets.
        self.exact: list[ast.AST] = []  # Nodes in which the order of a set does not matter.

    def read(self, tree: ast.AST) -> list[tuple[int, str]]:
        """(line, message) of everything found, by line."""
        for node in ast.walk(tree):
            self._note(node)
        found: list[tuple[int, str]] = []
        for node in ast.walk(tree):
            if isinstance(node, (ast.expr, ast.stmt, ast.ExceptHandler)):
                found += [(node.lineno, message) for message in self._judge(node)]
            elif isinstance(node, ast.comprehension) and node not in self.exact:
                found += [(node.iter.lineno, _set_order())] * self._is_set(node.iter)
        return sorted(found)

    def _note(self, node: ast.AST) -> None:
        """What the names of this function mean; assignments count wherever they stand."""
        match node:
            case ast.arg(arg=name):
                self.locals[name] = None
            case ast.Name(id=name, ctx=ast.Store()):
                self.locals[name] = None
            case ast.Import(names=names):
                self.imports |= {
                    one.asname or one.name.partition(".")[0]: one.name for one in names
                }
            case ast.ImportFrom(module=str(module), names=names, level=0):
                self.imports |= {one.asname or one.name: module for one in names}
            case ast.Call(func=ast.Name(id=name), args=args) if name in _ORDERLESS:
                for one in args:
                    self.exact += getattr(one, "generators", [])
            case ast.SetComp(generators=generators):
                self.exact += generators
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if self._is_set(value):
                self.sets[name] = None

    def _judge(self, node: ast.expr | ast.stmt | ast.ExceptHandler) -> Iterator[str]:
        match node:
            case ast.Constant(value=float() | complex()):
                yield f"the number {node.value!r}: {_FLOAT}"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield "division by / gives a float; divide by // instead"
            case ast.Import(names=names):
                for one in names:
                    yield from _judge_module(one.name, one.name)
            case ast.ImportFrom(module=str(module), level=0):
                yield from _judge_module(module, module)
            case ast.Global(names=names):
                yield f"global {', '.join(names)}: {_KEPT}"
            case ast.ExceptHandler(type=caught):
                yield from self._judge_handler(caught)
            case ast.Attribute() | ast.Name():
                yield from self._judge_name(node)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                yield from self._judge_change(name)
            case ast.For(iter=walked) | ast.Starred(value=walked) if self._is_set(walked):
                yield _set_order()
            case ast.Assign(targets=[ast.Tuple() | ast.List()], value=value) if self._is_set(value):
                yield _set_order()
            case ast.Call():
                yield from self._judge_call(node)

    def _judge_call(self, node: ast.Call) -> Iterator[str]:
        first = node.args[0] if node.args else None
        match node.func:
            case ast.Name(id=name) if name in _ORDERED and self._global(name) is getattr(
                builtins, name
            ):
                if any(self._is_set(one) for one in node.args):
                    yield _set_order()
            case ast.Attribute(attr="join" | "fromkeys") if first and self._is_set(first):
                yield _set_order()
            case ast.Attribute(value=value, attr="pop") if not node.args and self._is_set(value):
                yield "pop() of a set takes another item in every process; use min() or sorted()"
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if attr in _CHANGING:
                yield from self._judge_change(name)

    def _judge_change(self, name: str) -> Iterator[str]:
        found = self._global(name)
        if isinstance(found, (list, dict, set, bytearray)) or type(found).__name__ == "deque":
            yield f"{name} is changed: {_KEPT}"

    def _judge_handler(self, caught: ast.expr | None) -> Iterator[str]:
        names = (
            [one.id for one in ast.walk(caught) if isinstance(one, ast.Name)] if caught else [""]
        )
        for name in names:
            if not name or (name in _SWALLOWING and self._global(name) is getattr(builtins, name)):
                yield (
                    f"except {name}".strip() + ": it also catches RecursionError and MemoryError,"
                    " which do not strike every node; name the exceptions you expect"
                )

    def _judge_name(self, node: ast.expr) -> Iterator[str]:
        """A name, or a dotted one, resolved to what it means."""
        parts: list[str] = []
        base = node
        while isinstance(base, ast.Attribute):
            parts.insert(0, base.attr)
            base = base.value
        if not isinstance(base, ast.Name) or not isinstance(base.ctx, ast.Load):
            return
        dotted = ".".join([base.id, *parts])
        found = self._global(base.id)
        if found is _MISSING:
            return
        for part in parts:
            if not isinstance(found, (types.ModuleType, type)):
                return
            found = inspect.getattr_static(found, part, _MISSING)
            if isinstance(found, (staticmethod, classmethod)):
                found = found.__func__
        yield from self._judge_object(dotted, base.id, parts, found)

    def _judge_object(self, dotted: str, name: str, parts: list[str], found: Any) -> Iterator[str]:
        base = self._global(name)
        if isinstance(found, types.FunctionType) and _is_authors(found):
            self.used.append(found)
        elif isinstance(found, type) and found.__module__ not in sys.stdlib_module_names:
            members = (inspect.unwrap(one) for one in vars(found).values() if callable(one))
            self.used += [one for one in members if _is_authors(one)]
        if isinstance(found, (float, complex)):
            yield f"{dotted}: {_FLOAT}"
        elif name in _BUILTINS and not parts and found is getattr(builtins, name):
            yield f"{name}(): {_BUILTINS[name]}"
        elif isinstance(base, types.ModuleType) and parts:
            if base.__name__ == "math" and parts[0] not in _EXACT_MATH:
                yield f"{dotted}: {_FLOAT}"
            elif base.__name__ == "datetime" and parts[-1] in _NOW:
                yield f"{dotted}: {_CLOCK}"
            else:
                yield from _judge_module(base.__name__, dotted)
        elif getattr(base, "__module__", None) == "datetime" and parts and parts[-1] in _NOW:
            yield f"{dotted}: {_CLOCK}"
        elif not parts and not isinstance(found, types.ModuleType):
            # What "from module import name" brought in: a function, or a method as random's are.
            home = (
                getattr(found, "__module__", None)
                or type(getattr(found, "__self__", None)).__module__
            )
            if home == "math" and name not in _EXACT_MATH:
                yield f"{dotted}: {_FLOAT}"
            elif isinstance(home, str) and callable(found):
                yield from _judge_module(home, dotted)

    def _is_set(self, node: ast.expr) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Call(func=ast.Name(id="set" | "frozenset" as name)):
                return self._global(name) is getattr(builtins, name)
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _SET_METHODS:
                return self._is_set(value)
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.BitXor() | ast.Sub()):
                return any(self._is_set(one) or _is_keys(one) for one in (node.left, node.right))
            case ast.Name(id=name):
                return name in self.sets or isinstance(self._global(name), (set, frozenset))
        return False

    def _global(self, name: str) -> Any:
        """What a name means outside the function, or nothing if it is one of its own."""
        if name in self.locals or name in self.imports:
            return _MISSING
        if name in self.closure:
            return self.closure[name]
        return self.globals.get(name, getattr(builtins, name, _MISSING))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # Not filled yet.
        return _MISSING


def _is_keys(node: ast.expr) -> bool:
    """d.keys() or d.items(): with | & - ^ they give a set."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("keys", "items")
        and not node.args
    )


def _judge_module(module: str, shown: str) -> Iterator[str]:
    why = _MODULES.get(module.partition(".")[0])
    if why is not None:
        yield f"{shown}: {why}"


def _set_order() -> str:
    return "the order of a set differs in every process; walk over sorted(..) of it"
