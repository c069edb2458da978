"""Networks shared by the tests of a module, and what runs only when asked for.

Tests marked ``long`` are left out unless the expression of ``-m`` names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local_net import LocalNet
from tests.e2e.script import Script


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in here:
        item.add_marker(pytest.mark.e2e)
    if "long" not in str(config.option.markexpr):
        left_out = [item for item in here if item.get_closest_marker("long") is not None]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """The script in an empty folder; no network."""
    return Script(folder=tmp_path)


def net_in(folder: Path) -> LocalNet:
    variables = {"ZMQNODE_TESTNET": str(folder / "net")}
    return LocalNet(folder=folder, script=Script(folder=folder, variables=variables))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNet]:
    """Four nodes for all tests of a module; they leave it as they found it."""
    net = net_in(tmp_path_factory.mktemp("e2e"))
    # Four blocks a second, so that waiting for blocks is short.
    net.do("up", "--set", "params.empty_block_interval_ms=250")
    yield net
    net.end()


@pytest.fixture
def own_net(tmp_path: Path) -> Iterator[LocalNet]:
    """A network of the test's own, not yet made."""
    net = net_in(tmp_path)
    yield net
    net.end()
