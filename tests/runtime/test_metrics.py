"""What a running node tells Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.ports import free_ports
from tests.runtime.local import lay_out, until
from zmqnode.base.exchange import NodeState
from zmqnode.config import Config, Place
from zmqnode.errors import Invalid, Refused
from zmqnode.metrics import CONTENT_TYPE
from zmqnode.runtime import Node
from zmqnode.runtime.scraping import (
    CONNECTIONS_MAX,
    HEAD_BYTES_MAX,
    MetricsPort,
    Page,
    Pages,
    bind,
)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def fetch(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one request."""
    asked = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    return await said(port, asked.encode())


async def said(port: int, data: bytes) -> tuple[int, dict[str, str], str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in rest)
    assert int(headers["Content-Length"]) == len(body)
    return int(first.split(" ")[1]), headers, body.decode()


def read(text: str) -> Samples:
    """All samples by name and labels, by the parser of Prometheus's own client library."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of a name's samples that have these labels."""
    return sum(
        value
        for (one, held), value in samples.items()
        if one == name and labels.items() <= dict(held).items()
    )


def with_metrics(folder: Path, url: str | int) -> None:
    file = folder / "node.yml"
    file.write_text(file.read_text() + f"metrics:\n  url: {url}\n")


async def scrape(port: int) -> Samples:
    status, headers, body = await fetch(port, "/metrics")
    assert (status, headers["Content-Type"]) == (200, CONTENT_TYPE)
    return read(body)


def test_four_nodes_say_where_they_stand(tmp_path: Path) -> None:
    """Goal: what is scraped agrees with what the node itself says, and moves."""

    async def scene() -> None:
        folders = lay_out(tmp_path)
        port = free_ports()
        with_metrics(folders[0], port)
        nodes = [Node(folder) for folder in folders]
        for node in nodes:
            await node.__aenter__()
        try:
            await until(lambda: min(node.standing.tip for node in nodes) >= 5)
            first = await scrape(port)
            await until(lambda: nodes[0].standing.tip >= first["zmqnode_height", ()] + 5)
            await asyncio.sleep(0.25)  # The same text is told for so long.
            second = await scrape(port)
            _check_chain(first, second, nodes[0])
            _check_network(second)
            _check_times(second)
            await nodes[3].__aexit__(None, None, None)
            tip = nodes[0].standing.tip
            await until(lambda: _live(nodes[0]) == 3)
            await until(lambda: nodes[0].standing.tip >= tip + 5)
            await asyncio.sleep(0.25)
            third = await scrape(port)
            assert third["zmqnode_suffrage_margin", ()] == 0
            assert total(third, "zmqnode_member_live", address="n3sas") == 0
            assert total(third, "zmqnode_peers") == 2
        finally:
            for node in nodes:
                await node.__aexit__(None, None, None)
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection("127.0.0.1", port)

    asyncio.run(scene())


def _live(node: Node) -> int:
    return node.info().suffrage.live


def _check_chain(first: Samples, second: Samples, node: Node) -> None:
    assert second["zmqnode_height", ()] >= first["zmqnode_height", ()] + 5
    for name in ("zmqnode_blocks_total", "zmqnode_turns_total"):
        assert second[name, ()] > first[name, ()] > 0
    assert total(second, "zmqnode_state") == 1
    assert total(second, "zmqnode_state", state="CONSENSUS") == 1
    assert total(second, "zmqnode_role", role="active") == 1
    info = next(dict(labels) for name, labels in second if name == "zmqnode_info")
    assert info["instance_key"] == node.info().instance
    assert info["address"] == "n0sas"
    assert second["zmqnode_suffrage_quorum", ()] == 3
    assert second["zmqnode_suffrage_margin", ()] == 1
    assert total(second, "zmqnode_member_live") == 4
    assert total(second, "zmqnode_handover_phase") == 0


def _check_network(samples: Samples) -> None:
    assert samples["zmqnode_peers", ()] == 3
    rtts = [value for (name, _), value in samples.items() if name == "zmqnode_peer_rtt_seconds"]
    assert len(rtts) == 3 and all(0 < value < 10 for value in rtts)
    assert samples["zmqnode_door_open", ()] == 1
    assert samples["zmqnode_connections_accepted_total", ()] >= 6


def _check_times(samples: Samples) -> None:
    blocks = samples["zmqnode_blocks_total", ()]
    for name in (
        "zmqnode_block_interval_seconds_count",
        "zmqnode_block_execution_seconds_count",
        "zmqnode_journal_sync_seconds_count",
        "zmqnode_loop_lag_seconds_count",
    ):
        assert samples[name, ()] >= 2, name
    assert samples["zmqnode_block_interval_seconds_count", ()] <= blocks
    for stage in ("proposal", "init", "accept"):
        assert 0 < total(samples, "zmqnode_stage_seconds_count", stage=stage) <= blocks + 1
    assert total(samples, "zmqnode_signature_checks_total", result="ok") > blocks
    assert total(samples, "zmqnode_signature_checks_total", result="bad") == 0


def test_a_node_without_the_key_has_no_port_and_no_meter(tmp_path: Path) -> None:
    """Goal: off by default, at no cost: nothing listens, nothing is counted."""

    async def scene() -> None:
        async with Node(lay_out(tmp_path, nodes=1)[0]) as node:
            await until(lambda: node.standing.tip >= 2)
            assert node._metrics is None

    asyncio.run(scene())


def test_a_broken_node_still_tells_and_is_not_healthy(tmp_path: Path) -> None:
    """Goal: the scrape that matters most works; /healthz is 200 only where the node serves."""

    async def scene() -> None:
        folder, port = lay_out(tmp_path, nodes=1)[0], free_ports()
        with_metrics(folder, f"http://127.0.0.1:{port}/")
        async with Node(folder) as node:
            await until(lambda: node.standing.tip >= 2)
            status, _, body = await fetch(port, "/healthz")
            told = json.loads(body)
            assert (status, told["ok"], told["state"]) == (200, True, "CONSENSUS")
            assert node.driver is not None
            node.driver.break_down("for the test", "none")
            await until(lambda: node.standing.state is NodeState.BROKEN)
            status, _, body = await fetch(port, "/healthz")
            assert (status, json.loads(body)["ok"]) == (503, False)
            await asyncio.sleep(0.25)
            samples = await scrape(port)
            assert total(samples, "zmqnode_state", state="BROKEN") == 1

    asyncio.run(scene())


def test_a_port_that_is_taken_is_refused_and_the_folder_let_go(tmp_path: Path) -> None:
    """Goal: one clear error before anything runs."""

    async def scene() -> None:
        folder, port = lay_out(tmp_path, nodes=1)[0], free_ports()
        with_metrics(folder, port)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As `free_ports` looks.
            taken.bind(("127.0.0.1", port))
            taken.listen()
            with pytest.raises(Refused) as caught:
                async with Node(folder):
                    pass
            assert caught.value.code == "address_in_use"
            assert "metrics.url" in caught.value.hint
        async with Node(folder) as node:
            await until(lambda: node.standing.tip >= 1)

    asyncio.run(scene())


def test_an_unknown_host_is_a_fault_of_the_config() -> None:
    with pytest.raises(Invalid) as caught:
        bind(Place(host="no-such-host.invalid", port=1))
    assert caught.value.code == "config_invalid"


# The port alone.

HELLO: Pages = {"/metrics": lambda: Page(status=200, body="hello 1\n")}


def with_port(
    scene: Callable[[int, MetricsPort], Awaitable[None]], pages: Pages = HELLO, **settings: Any
) -> None:
    """Runs a scene against an open port."""

    async def play() -> None:
        number = free_ports()
        port = MetricsPort(bind(Place(host="127.0.0.1", port=number)), pages, **settings)
        await port.open()
        try:
            await asyncio.wait_for(scene(number, port), 30)
        finally:
            await port.close()
            await port.close()

    asyncio.run(play())


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\n\r\n", 200),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 405),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"GET /metr\xffics HTTP/1.1\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    ],
)
def test_what_is_asked_has_one_answer(asked: bytes, status: int) -> None:
    async def scene(number: int, port: MetricsPort) -> None:
        got, headers, body = await said(number, asked)
        assert got == status
        assert headers["Connection"] == "close"
        assert (body == "hello 1\n") == (status == 200)
        assert ("Allow" in headers) == (status == 405)

    with_port(scene)


def test_a_head_without_end_is_refused_at_its_bound() -> None:
    async def scene(number: int, port: MetricsPort) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES_MAX)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 431 ")
        writer.close()

    with_port(scene)


def test_who_is_slow_is_cut() -> None:
    """Goal: neither half a request nor an answer that nobody takes holds a place for long."""

    async def scene(number: int, port: MetricsPort) -> None:
        silent = await asyncio.open_connection("127.0.0.1", number)
        silent[1].write(b"GET /met")
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", number))
        deaf.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        await until(lambda: len(port._live) == 2)
        await until(lambda: not port._live)
        assert await silent[0].read() == b""
        silent[1].close()
        deaf.close()

    large: Pages = {"/metrics": lambda: Page(status=200, body="x" * 32_000_000)}
    with_port(scene, large, exchange_s=0.5)


def test_more_connections_than_there_are_places_are_turned_away() -> None:
    """Goal: the bound is reached, and a place that becomes free is used again."""

    async def scene(number: int, port: MetricsPort) -> None:
        held = [await asyncio.open_connection("127.0.0.1", number) for _ in range(CONNECTIONS_MAX)]
        await until(lambda: len(port._live) == CONNECTIONS_MAX)
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        with contextlib.suppress(OSError):  # A reset is as good as an end.
            assert await reader.read() == b""
        writer.close()
        assert port.turned_away == 1
        held[0][1].close()
        await until(lambda: len(port._live) == CONNECTIONS_MAX - 1)
        assert (await fetch(number, "/metrics"))[0] == 200
        for _, one in held:
            one.close()

    with_port(scene)


def test_closing_cuts_who_is_there() -> None:
    async def play() -> None:
        number = free_ports()
        port = MetricsPort(bind(Place(host="127.0.0.1", port=number)), HELLO)
        await port.open()
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        await until(lambda: len(port._live) == 1)
        await port.close()
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection("127.0.0.1", number)

    asyncio.run(play())


def test_the_config_names_the_port(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, nodes=1)[0]
    assert Config.load(folder).metrics is None
    with_metrics(folder, 9464)
    assert Config.load(folder).metrics == Place(host="127.0.0.1", port=9464)
