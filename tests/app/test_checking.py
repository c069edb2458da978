"""``app check`` finds what makes nodes disagree; what ``app new`` writes passes it."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zmqnode.app import App, load_app
from zmqnode.app.checking import app_check
from zmqnode.app.lint import lint
from zmqnode.app.sampling import run_samples, sample_blocks
from zmqnode.app.template import app_files, write_app
from zmqnode.apps.kv import app as kv
from zmqnode.errors import Invalid, Refused

HEAD = """
import datetime, hashlib, json, math, os, random, time, uuid
from datetime import datetime as DateTime
from random import choice as pick
from time import time as now
from zmqnode import App, Reject

app = App("sample")
RATE = 0.5
TABLE = {}
NAMES = {"a", "b"}
LIST = [1]

def helper(x):
    return time.monotonic()

class Account:
    def fee(self):
        return random.random()

def harmless(x):
    return x // 2
"""


Write = Callable[..., tuple[str, App]]


@pytest.fixture
def written(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Write]:
    """Write an app module of this test's own name and load it."""
    count = 0

    def write(body: str, head: str = HEAD) -> tuple[str, App]:
        nonlocal count
        count += 1
        module = f"sample_{abs(hash(request.node.nodeid))}_{count}"
        (tmp_path / f"{module}.py").write_text(head + body)
        return f"{module}:app", load_app(f"{module}:app", [tmp_path])

    yield write
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def op(*lines: str, arguments: str = "items: list[str], count: int = 1") -> str:
    return "\n".join([f"\n@app.op\ndef run(ctx, {arguments}):", *(f"    {line}" for line in lines)])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ctx.state['t'] = int(time.time())", "time.time: clocks"),
        ("ctx.state['t'] = int(now())", "now: clocks"),
        ("ctx.state['t'] = str(datetime.datetime.now())", "datetime.datetime.now: clocks"),
        ("ctx.state['t'] = str(DateTime.utcnow())", "DateTime.utcnow: clocks"),
        ("ctx.state['t'] = random.randint(1, 2)", "random.randint: chance"),
        ("ctx.state['t'] = pick(items)", "pick: chance"),
        ("ctx.state['t'] = str(uuid.uuid4())", "uuid.uuid4: chance"),
        ("import secrets", "secrets: chance"),
        ("from os import environ", "os: files"),
        ("ctx.state['t'] = os.environ['HOME']", "os.environ: files"),
        ("open('/tmp/x')", r"open\(\): files"),
        ("ctx.state['t'] = hash('a')", r"hash\(\): the hash of text"),
        ("ctx.state['t'] = id(ctx)", r"id\(\): it is an address"),
        ("ctx.state['t'] = int(count * 1.1)", "the number 1.1: floats"),
        ("ctx.state['t'] = int(count * RATE)", "RATE: floats"),
        ("ctx.state['t'] = int(count / 2)", "division by /"),
        ("count /= 2", "division by /"),
        ("ctx.state['t'] = int(float(count))", r"float\(\): floats"),
        ("ctx.state['t'] = int(math.sqrt(count))", "math.sqrt: floats"),
        ("for item in set(items): ctx.state['t'] = item", "order of a set"),
        ("for item in NAMES: ctx.state['t'] = item", "order of a set"),
        ("ctx.state['t'] = list({*items})", "order of a set"),
        ("ctx.state['t'] = ','.join({*items})", "order of a set"),
        ("ctx.state['t'] = [x for x in frozenset(items)]", "order of a set"),
        ("mine = set(items); ctx.state['t'] = tuple(mine)", "order of a set"),
        ("mine = set(items); ctx.state['t'] = [*mine]", "order of a set"),
        ("mine = set(items); first, *rest = mine", "order of a set"),
        ("for item in {'a': 1}.keys() | {'b': 1}.keys(): ctx.state['t'] = item", "order of a set"),
        ("for item in set(items).union(NAMES): ctx.state['t'] = item", "order of a set"),
        ("ctx.state['t'] = set(items).pop()", r"pop\(\) of a set"),
        ("global LIST; LIST = []", "global LIST: what is kept"),
        ("TABLE['a'] = 1", "TABLE is changed: what is kept"),
        ("LIST.append(count)", "LIST is changed: what is kept"),
        ("ctx.state['t'] = helper(1)", "time.monotonic: clocks"),
        ("ctx.state['t'] = Account().fee()", "random.random: chance"),
    ],
)
def test_the_source_shows_what_differs(written: Write, line: str, message: str) -> None:
    _, app = written(op(line))
    findings = lint(app)
    assert [one.operation for one in findings] == ["run"]
    assert re.search(message, findings[0].message)
    assert findings[0].file is not None
    assert findings[0].line is not None
    source = Path(findings[0].file).read_text().splitlines()[findings[0].line - 1]
    assert line in source or "return" in source


@pytest.mark.parametrize(
    "line",
    [
        "for item in sorted(set(items)): ctx.state['t'] = item",
        "ctx.state['t'] = len(set(items)) + sum(1 for x in NAMES) + max(LIST)",
        "ctx.state['t'] = 'a' in NAMES",
        "ctx.state['t'] = sorted(x for x in set(items))",
        "ctx.state['t'] = min({len(x) for x in set(items)})",
        "ctx.state['t'] = harmless(count) + math.isqrt(abs(count)) + math.gcd(count, 3)",
        "ctx.state['t'] = hashlib.sha256(b'a').digest() + json.dumps(items).encode()",
        "time = ctx.time_ms; ctx.state['t'] = time",
        "ctx.state['t'] = str(DateTime(2026, 1, 1)) + str(datetime.timedelta(days=1))",
        "mine = {}; mine['a'] = 1; mine.update(b=2); ctx.state['t'] = mine",
        "mine = []; mine.append(1); ctx.state['t'] = mine",
        "for item in TABLE: ctx.state['t'] = item",
        "mine = {1: 2}; mine.pop(1); [1].pop()",
        "ctx.state['t'] = items and items[0]",
    ],
)
def test_what_is_alike_everywhere_is_not_found(written: Write, line: str) -> None:
    _, app = written(op(line))
    assert lint(app) == []


@pytest.mark.parametrize(
    "caught", ["", " Exception", " (ValueError, MemoryError)", " BaseException"]
)
def test_catching_everything_is_found(written: Write, caught: str) -> None:
    _, app = written(op("try:", "    ctx.state['a']", f"except{caught}:", "    pass"))
    assert [one.line is not None for one in lint(app)] == [True]
    _, app = written(op("try:", "    ctx.state['a']", "except (KeyError, ValueError):", "    pass"))
    assert lint(app) == []


def test_queries_and_checks_may_do_as_they_like(written: Write) -> None:
    _, app = written(
        op("pass")
        + "\n@app.query\ndef ask(view) -> int:\n    return int(time.time())\n"
        + "\n@app.check\ndef check(sender, name, arguments):\n    random.random()\n"
    )
    assert lint(app) == []


def test_genesis_is_looked_at(written: Write) -> None:
    _, app = written(op("pass") + "\n@app.genesis\ndef found(ctx, data):\n    random.random()\n")
    assert [one.operation for one in lint(app)] == [""]


def test_the_built_in_app_passes() -> None:
    checked = app_check("kv")
    assert (checked.ok, checked.findings) == (True, ())
    assert (checked.app, checked.version, checked.runs) == ("kv", 1, 2)
    assert checked.operations == ("append", "delete", "put")
    assert checked.queries == ("get", "keys")


def test_samples_reach_both_ends_of_an_operation() -> None:
    outcomes = {(name, ok) for name, ok, *_ in run_samples(kv)}
    assert outcomes == {("append", True), ("delete", True), ("delete", False), ("put", True)}
    assert sample_blocks(kv) == sample_blocks(kv)


# Hidden from the source's reader on purpose: only running shows these.
@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        (["ctx.state['k'] = TOOLS['set'](items)"], "k", "another"),
        (["ctx.state['k'] = TOOLS['clock']()"], "k", "another"),
        (
            [
                "if TOOLS['hash']('abc') % 97 == 5: raise Reject('odd')",
                "ctx.state['k'] = TOOLS['hash']('abc')",
            ],
            "k",
            "another",
        ),
        (["if TOOLS['hash']('abc'): ctx.emit('e', x=TOOLS['hash']('abc'))"], "", "events differ"),
        (["raise Reject(str(TOOLS['hash']('abc')))"], "", "its result is undone"),
    ],
)
def test_running_shows_what_the_source_hides(
    written: Write, tmp_path: Path, lines: list[str], key: str, message: str
) -> None:
    tools = (
        "\nimport os\nTOOLS = {'set': lambda x: list(set(x)), 'hash': hash,"
        " 'clock': lambda: os.getpid()}\n"
    )
    name, _ = written(tools + op(*lines))
    checked = app_check(name, 3, [tmp_path])
    assert [(one.operation, one.key) for one in checked.findings] == [("run", key)]
    assert message in checked.findings[0].message
    assert "another process" in checked.findings[0].message


def test_running_twice_shows_what_is_kept(written: Write, tmp_path: Path) -> None:
    counter = "\nimport itertools\nCOUNT = itertools.count()\n"
    name, _ = written(counter + op("ctx.state['n'] = next(COUNT)"))
    checked = app_check(name, 2, [tmp_path])
    assert [(one.operation, one.key) for one in checked.findings] == [("run", "n")]
    assert "again in the same process" in checked.findings[0].message


def test_a_process_that_dies_is_a_finding(written: Write, tmp_path: Path) -> None:
    name, _ = written(op("getattr(os, '_exit')(3)"))
    messages = [one.message for one in app_check(name, 2, [tmp_path]).findings]
    assert any("exit 3" in one for one in messages)


def test_recursion_is_a_finding(written: Write, tmp_path: Path) -> None:
    name, _ = written("\ndef deep(x):\n    return deep(x)\n" + op("deep(1)"))
    checked = app_check(name, 2, [tmp_path])
    assert [one.operation for one in checked.findings] == ["run"]
    assert "RecursionError" in checked.findings[0].message


def test_printing_does_no_harm(written: Write, tmp_path: Path) -> None:
    name, _ = written("\nprint('hello')\n" + op("print(count)"))
    assert app_check(name, 2, [tmp_path]).ok


@pytest.mark.parametrize("runs", [0, 1, 101])
def test_runs_are_bounded(runs: int) -> None:
    with pytest.raises(Invalid, match="2 to 100"):
        app_check("kv", runs)


# app new.


def test_a_new_app_passes_its_check_and_its_tests(tmp_path: Path) -> None:
    files = write_app("my-bank", tmp_path)
    assert [Path(one).name for one in files] == ["my_bank.py", "test_my_bank.py"]
    assert app_check("my_bank:app", 2, [tmp_path]).ok
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_bank.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with pytest.raises(Refused) as caught:
        write_app("my-bank", tmp_path)
    assert caught.value.code == "already_exists"


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "a b", "a" * 33, "json", "class", "zmqnode", "../x"]
)
def test_names_an_app_cannot_have(name: str) -> None:
    with pytest.raises(Invalid):
        app_files(name)
