"""Two real nodes on loopback: hello, streams, requests."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from itertools import pairwise
from typing import Any

import pytest

from tests.network.conftest import ANSWER_MS, Served, fleet, joined, until
from tests.network.zmtp import RawCurve
from tests.ports import free_ports, has_ipv6
from zmqnode.base.codec import unpack
from zmqnode.base.hashes import Hash
from zmqnode.base.keys import PrivateKey, PublicKey
from zmqnode.errors import Invalid, Refused
from zmqnode.network import Fault, NetworkLimits, Strike, Topic, parse_place
from zmqnode.network.curve import CurveKeys


def test_two_nodes_say_hello_publish_ask_and_push() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            peer_b = heard_a.ups[0][0]
            assert peer_b.address == "bsas"
            assert peer_b.instance == b.introduction.instance

            b.publish(Topic.VOTES, b"vote")
            b.publish(Topic.SEALS, b"seal")
            await until(lambda: len(heard_a.messages) == 2)
            assert sorted(m[1:] for m in heard_a.messages) == [
                (Topic.SEALS, b"seal"),
                (Topic.VOTES, b"vote"),
            ]

            answers: list[object] = []
            assert a.ask(peer_b.instance, b"what", ANSWER_MS, answers.append)
            await until(lambda: answers)
            assert answers == [b"re:what"]
            assert heard_b.requests[0][0].instance == a.introduction.instance

            assert a.send(peer_b.instance, b"take")
            await until(lambda: heard_b.pushes)
            assert heard_b.pushes[0][1] == b"take"
            one = a.stats()[0]
            assert one.linked
            assert one.calling
            assert one.rtt_ms is not None
            assert not heard_a.gaps
            assert not heard_a.refusals

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"network_id": "other"}, "network_mismatch"),
        ({"genesis": Hash(b"\1" * 32)}, "genesis_mismatch"),
        ({"params": Hash(b"\2" * 32)}, "params_mismatch"),
        ({"app_version": 2}, "app_mismatch"),
        ({"protocol": 99}, "protocol_mismatch"),
    ],
)
def test_a_peer_of_another_kind_is_refused_with_the_reason(said: dict[str, Any], code: str) -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas", **said)
            b.connect("asas", a.introduction.url)
            await until(lambda: (("asas", a.introduction.url, code)) in heard_b.refusals)
            a.connect("bsas", b.introduction.url)
            await until(lambda: heard_a.refusals)
            assert heard_a.refusals[0][2] == code
            assert not heard_a.ups
            assert not heard_b.ups
            assert not a.peers()

    asyncio.run(scene())


def test_an_unlisted_key_is_told_later_and_gets_in_once_it_is_listed() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            everybody = nodes.listed
            quick = NetworkLimits(handshake_ms=500)
            a, heard_a = nodes.start("asas", listed={"asas": everybody["asas"]}, limits=quick)
            b, heard_b = nodes.start("bsas", limits=quick)
            with pytest.raises(Refused) as refused:
                a.connect("bsas", b.introduction.url)
            assert refused.value.code == "not_authorised"
            b.connect("asas", a.introduction.url)
            await until(lambda: a.zap_refused >= 2, what="two refusals: it keeps trying")
            assert not heard_b.ups
            a.set_listed(everybody)
            await until(lambda: heard_b.ups and heard_a.callers)

            a.set_listed({"asas": everybody["asas"]})  # And out again.
            await until(lambda: heard_b.downs and heard_a.callers_down)
            assert a.guard_stats.cuts[Fault.UNLISTED] >= 1
            await until(lambda: a.connections == 0 or not a.subscribers)

    asyncio.run(scene())


def test_a_key_that_leaves_the_list_loses_its_link_too() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            answers: list[object] = []
            heard_b.echo = False
            assert a.ask(heard_a.ups[0][0].instance, b"x", 5000, answers.append)
            a.set_listed({"asas": nodes.listed["asas"]})
            assert heard_a.downs
            assert answers == [None]
            assert a.links() == ()

    asyncio.run(scene())


def test_a_key_without_a_curve_form_is_invalid_and_nothing_stays_open() -> None:
    async def scene() -> None:
        async with fleet("asas") as nodes:
            bad = PublicKey(bytes(32))  # A point of small order.
            with pytest.raises(Invalid) as invalid:
                nodes.start("asas", listed={"asas": nodes.listed["asas"], "xsas": bad})
            assert invalid.value.code == "key_invalid"

    asyncio.run(scene())


def test_a_taken_port_is_one_clear_error() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, _ = nodes.start("asas")
            port = parse_place(a.introduction.url).port
            for taken in (port, port - 1):  # p+1 taken; p+2 taken by the other's p+1.
                with pytest.raises(Refused) as refused:
                    nodes.start("bsas", port=taken)
                assert refused.value.code == "address_in_use"

    asyncio.run(scene())


def test_a_second_copy_of_an_instance_is_refused_and_raises_the_alarm() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            instance = PrivateKey(os.urandom(32))
            b, heard_b = nodes.start("bsas", instance=instance)
            copy, heard_copy = nodes.start("bsas", instance=instance)
            await joined(a, b, heard_a, heard_b)
            copy.connect("asas", a.introduction.url)
            await until(lambda: heard_a.alarms and heard_copy.alarms)
            assert heard_a.alarms[0][0].instance == instance.public
            assert heard_copy.refusals[0][2] == "instance_twice"
            assert not heard_copy.ups
            assert not heard_a.callers_down

            b.connect("bsas", copy.introduction.url)  # The copies meet.
            await until(lambda: heard_b.alarms)
            a.connect("asas", a.introduction.url)  # Oneself is no alarm.
            await until(lambda: any(code == "own_instance" for _, _, code in heard_a.refusals))

    asyncio.run(scene())


def test_two_instances_of_an_address_are_peers_at_once() -> None:
    """Make before break: the old copy and the new one, both linked, both heard."""

    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas")
            b_sub, heard_sub = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            b_sub.connect("bsas", b.introduction.url)  # The copies share a key, and can talk.
            a.connect("bsas", b_sub.introduction.url)
            b_sub.connect("asas", a.introduction.url)
            await until(lambda: len(heard_a.ups) == 2 and len(heard_sub.ups) == 2)
            assert len(a.peers()) == 2
            await until(lambda: b.subscribers >= 4 and b_sub.subscribers >= 2)
            b.publish(Topic.VOTES, b"old")
            b_sub.publish(Topic.VOTES, b"new")
            await until(lambda: len(heard_a.messages) == 2)
            assert {m[2]: m[0].instance for m in heard_a.messages} == {
                b"old": b.introduction.instance,
                b"new": b_sub.introduction.instance,
            }
            a.disconnect("bsas", b.introduction.url)
            assert [peer.instance for peer in a.peers()] == [b_sub.introduction.instance]
            assert not heard_a.alarms

    asyncio.run(scene())


def test_a_peer_that_restarts_is_linked_again_with_its_new_instance() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            port = parse_place(b.introduction.url).port
            b.publish(Topic.VOTES, b"1")
            await until(lambda: heard_a.messages)
            nodes.stop(b)
            await until(lambda: heard_a.downs and heard_a.callers_down)
            assert a.ask(heard_a.ups[0][0].instance, b"x", 100, print) is None
            again, heard_again = nodes.start("bsas", port=port)
            again.connect("asas", a.introduction.url)
            await until(lambda: len(heard_a.ups) == 2 and heard_again.ups)
            await until(lambda: again.subscribers >= 2)
            again.publish(Topic.VOTES, b"2")
            await until(lambda: len(heard_a.messages) == 2)
            assert heard_a.messages[1][0].instance == again.introduction.instance
            assert not heard_a.gaps, "a new incarnation starts at 1 without a gap"
            assert not heard_a.alarms

    asyncio.run(scene())


def test_the_same_instance_after_a_restart_is_no_second_copy() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            instance = PrivateKey(os.urandom(32))
            b, heard_b = nodes.start("bsas", instance=instance)
            await joined(a, b, heard_a, heard_b)
            port = parse_place(b.introduction.url).port
            nodes.stop(b)
            again, heard_again = nodes.start("bsas", instance=instance, port=port)
            again.connect("asas", a.introduction.url)
            await until(lambda: heard_again.ups and len(heard_a.callers) == 2)
            assert not heard_a.alarms

    asyncio.run(scene())


def test_lost_messages_are_counted_and_told() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            b.publish(Topic.VOTES, b"1")
            await until(lambda: heard_a.messages)
            b.skip_numbers(Topic.VOTES, 3)
            b.publish(Topic.VOTES, b"5")
            await until(lambda: heard_a.gaps)
            assert heard_a.gaps == [(heard_a.ups[0][0], Topic.VOTES, 3)]
            assert a.stats()[0].dropped == 3

    asyncio.run(scene())


def test_a_burst_of_publishes_is_spread_over_turns_and_arrives_whole() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            for i in range(4000):
                b.publish(Topic.VOTES, b"%d" % i)
            await until(lambda: len(heard_a.messages) == 4000)
            assert [m[2] for m in heard_a.messages] == [b"%d" % i for i in range(4000)]
            assert not heard_a.gaps

    asyncio.run(scene())


def test_more_publishes_than_the_queue_holds_drop_the_oldest() -> None:
    async def scene() -> None:
        limits = NetworkLimits(publishes_max=10, publish_queue_max=20)
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas", limits=limits)
            await joined(a, b, heard_a, heard_b)
            for i in range(100):
                b.publish(Topic.VOTES, b"%d" % i)
            assert b.overflowed == 70
            await until(lambda: len(heard_a.messages) == 30)
            expected = [*range(10), *range(80, 100)]
            assert [m[2] for m in heard_a.messages] == [b"%d" % i for i in expected]

    asyncio.run(scene())


def test_a_question_ends_with_its_time_its_link_or_a_malformed_answer() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas", limits=NetworkLimits(asks_max=3), decode=unpack)
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            peer = heard_a.ups[0][0].instance
            answers: list[object] = []
            assert a.ask(
                peer, b"\xff", ANSWER_MS, answers.append
            )  # Answered "re:\xff": no msgpack.
            await until(lambda: answers)
            heard_b.echo = False
            for _ in range(3):
                assert a.ask(peer, b"x", 50, answers.append)
            assert a.ask(peer, b"x", 50, answers.append) is None, "asks_max"
            await until(lambda: len(answers) == 4)
            assert a.ask(peer, b"x", 5000, answers.append)
            b.close()
            await until(lambda: len(answers) == 5)
            assert answers == [None] * 5
            assert a.ask(PublicKey(bytes(32)), b"x", 50, answers.append) is None

    asyncio.run(scene())


@pytest.mark.parametrize("by", ["address", "url"])
def test_a_cut_stops_traffic_in_its_direction_until_it_is_healed(by: str) -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            name = {"address": "bsas", "url": b.introduction.url}[by]
            a.cut([name], [])  # a hears nothing from b; b hears a.
            b.publish(Topic.VOTES, b"unheard")
            b.send(heard_b.ups[0][0].instance, b"unheard")
            a.send(heard_a.ups[0][0].instance, b"heard")
            await until(lambda: heard_b.pushes)
            answers: list[object] = []
            a.ask(heard_a.ups[0][0].instance, b"x", 100, answers.append)
            await until(lambda: answers)
            assert answers == [None]
            assert not heard_a.messages
            assert not heard_a.pushes
            a.cut([], [name])
            a.send(heard_a.ups[0][0].instance, b"unheard")
            b.publish(Topic.VOTES, b"heard")
            await until(lambda: heard_a.messages)
            a.cut([], [])
            a.send(heard_a.ups[0][0].instance, b"healed")
            await until(lambda: len(heard_b.pushes) == 2)
            assert [m for _, m in heard_b.pushes] == [b"heard", b"healed"]

    asyncio.run(scene())


def test_strikes_of_the_runtime_cut_a_peer_at_the_bound() -> None:
    async def scene() -> None:
        limits = NetworkLimits(strikes_max=5, penalty_ms=200, handshake_ms=500)
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas", limits=limits)
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            heard_a.strike = Strike(fault=Fault.SIGNATURE)
            me = heard_b.ups[0][0].instance
            for _ in range(4):
                b.send(me, b"forged")
            await until(lambda: len(heard_a.pushes) == 4)
            assert a.guard_stats.strikes[Fault.SIGNATURE] == 4
            assert not a.guard_stats.cuts
            b.send(me, b"forged")
            await until(lambda: a.guard_stats.cuts[Fault.SIGNATURE] == 1)
            heard_a.strike = None
            await until(lambda: len(heard_b.ups) == 2, what="back after the penalty")

    asyncio.run(scene())


def test_what_is_malformed_never_passes_the_gate() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas", decode=unpack)
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            me = heard_b.ups[0][0].instance
            b.publish(Topic.VOTES, b"\xc1")
            b.send(me, b"\xcd\x00\x01")  # 1 in three bytes: not canonical.
            b.send(me, b"\x01")
            b.publish(Topic.VOTES, b"\x02")
            await until(lambda: heard_a.pushes and heard_a.messages)
            assert [m for _, m in heard_a.pushes] == [1]
            assert [m[2] for m in heard_a.messages] == [2]
            assert a.guard_stats.strikes[Fault.MALFORMED] == 2

    asyncio.run(scene())


def test_names_are_resolved_here_and_an_unknown_one_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def known(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host != "there.invalid":
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("socket.getaddrinfo", known)  # No name service: it may be slow.

    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, _ = nodes.start("bsas")
            port = parse_place(b.introduction.url).port
            a.connect("bsas", f"tcp://there.invalid:{port}")
            await until(lambda: heard_a.ups)
            a.connect("bsas", f"tcp://no-such-host.invalid:{port}")
            await until(lambda: heard_a.refusals)
            assert heard_a.refusals[0][2] == "name_unknown"

    asyncio.run(scene())


def test_a_hello_with_a_url_that_is_none_is_refused() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas", url="file:///etc/passwd")
            b.connect("asas", a.introduction.url)
            await until(lambda: heard_b.refusals)
            assert heard_b.refusals[0][2] == "bad_url"
            assert not heard_a.callers

    asyncio.run(scene())


def test_an_address_is_dialled_at_so_many_urls_only() -> None:
    """Urls come from hellos: a member that names a new one each time must not cost sockets."""

    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas", limits=NetworkLimits(links_per_address_max=3))
            b, _ = nodes.start("bsas")
            a.connect("bsas", b.introduction.url)
            await until(lambda: heard_a.ups)
            for port in range(1, 50):
                a.connect("bsas", f"tcp://127.0.0.1:{port}")
            assert len(a.links()) == 3
            assert a.peers(), "the one that is up stays"

    asyncio.run(scene())


def test_a_kept_url_does_not_give_way_to_others() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, _ = nodes.start("asas", limits=NetworkLimits(links_per_address_max=3))
            kept = ("bsas", "tcp://127.0.0.1:1")
            a.keep([kept])
            a.connect(*kept)
            for port in range(2, 20):
                a.connect("bsas", f"tcp://127.0.0.1:{port}")
            assert kept in a.links()
            assert len(a.links()) == 3

    asyncio.run(scene())


def test_urls_that_nobody_answers_at_and_nothing_names_are_let_go() -> None:
    """Goal: copies that are gone for good leave no dialling behind. Method: five urls in one wait.

    Kept, answered and called from stay; one named again stays for longer; the last goes.
    """

    async def scene() -> None:
        async with fleet("asas", "bsas", "csas") as nodes:
            a, heard_a = nodes.start("asas", limits=NetworkLimits(link_stale_ms=600))
            b, _ = nodes.start("bsas")
            c, _ = nodes.start("csas")
            c.connect("asas", a.introduction.url)
            await until(lambda: heard_a.callers)
            kept, again, gone = (("bsas", f"tcp://127.0.0.1:{port}") for port in (1, 2, 3))
            up = ("bsas", b.introduction.url)
            calling = ("csas", c.introduction.url)
            a.cut([], ["csas"])  # Our hello never arrives: it calls us, and we cannot reach it.
            a.keep([kept])

            def still_named(place: tuple[str, str]) -> bool:
                a.connect(*place)
                return True

            await until(lambda: still_named(up) and bool(heard_a.ups))
            for place in (kept, again, gone, calling):
                a.connect(*place)
            await until(lambda: still_named(again) and gone not in a.links())
            assert set(a.links()) == {kept, again, up, calling}
            await until(lambda: again not in a.links())
            assert set(a.links()) == {kept, up, calling}
            nodes.stop(b)
            await until(lambda: up not in a.links())
            assert set(a.links()) == {kept, calling}

    asyncio.run(scene())


def test_a_refused_hello_is_tried_again_later_and_later() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, _ = nodes.start("asas")
            limits = NetworkLimits(refused_retry_ms=50)
            b, heard_b = nodes.start("bsas", limits=limits, network_id="other")
            b.connect("asas", a.introduction.url)
            await until(lambda: len(heard_b.refusals) == 5)
            waits = [later - earlier for earlier, later in pairwise(heard_b.refused_at)]
            least = [0.05, 0.1, 0.2, 0.4]  # A busy machine makes them longer, never shorter.
            assert all(wait >= bound - 0.001 for wait, bound in zip(waits, least, strict=True))

    asyncio.run(scene())


def test_a_refused_hello_is_tried_again_for_ever() -> None:
    """Method: without its upper bound, the wait before the 16th try would be 160 s."""

    async def scene() -> None:
        limits = NetworkLimits(refused_retry_ms=5, refused_retry_max_ms=20)
        async with fleet("asas", "bsas") as nodes:
            a, _ = nodes.start("asas")
            b, heard_b = nodes.start("bsas", limits=limits, network_id="other")
            b.connect("asas", a.introduction.url)
            await until(lambda: len(heard_b.refusals) == 16)

    asyncio.run(scene())


def test_a_name_to_listen_on_is_resolved() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, _ = nodes.start("asas", ip="localhost")
            b, heard_b = nodes.start("bsas")
            b.connect("asas", a.introduction.url)
            await until(lambda: heard_b.ups)
            with pytest.raises(Invalid):
                nodes.start("bsas", ip="no-such-host.invalid")

    asyncio.run(scene())


def test_a_peer_cut_by_url_does_not_get_through_its_hello() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas", limits=NetworkLimits(hello_ms=500))
            b, _ = nodes.start("bsas")
            a.cut([b.introduction.url], [b.introduction.url])
            b.connect("asas", a.introduction.url)
            await until(lambda: a.guard_stats.cuts[Fault.LATE])
            assert not heard_a.callers

    asyncio.run(scene())


def test_what_was_asked_of_a_dead_connection_does_not_precede_the_next_hello() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            a, heard_a = nodes.start("asas")
            b, heard_b = nodes.start("bsas")
            await joined(a, b, heard_a, heard_b)
            port = parse_place(b.introduction.url).port
            nodes.stop(b)
            time.sleep(0.1)  # noqa: ASYNC251 - the loop is busy: a has not noticed yet.
            answers: list[object] = []
            for _ in range(10):
                a.ask(heard_a.ups[0][0].instance, b"stale", 5000, answers.append)
            again, heard_again = nodes.start("bsas", port=port)
            await until(lambda: len(heard_a.ups) == 2 and heard_again.callers)
            assert not again.guard_stats.strikes
            assert not heard_again.requests
            assert set(answers) <= {None}

    asyncio.run(scene())


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_nobody_gets_in_on_any_port_while_nothing_answers_for_zap(offset: int) -> None:
    """CURVE alone admits anybody; without ZAP_ENFORCE_DOMAIN so does a missing handler."""

    async def scene() -> None:
        async with fleet("asas") as nodes:
            a, _ = nodes.start("asas")
            served = Served()
            served.door = a.open_door(served)
            keys = CurveKeys.of_identity(nodes.keys["asas"])
            port = parse_place(a.introduction.url).port + offset

            def shake_hands() -> RawCurve:
                kind = b"SUB" if offset == 2 else b"DEALER"
                return RawCurve(
                    port, server=keys.public, public=keys.public, secret=keys.secret, kind=kind
                )

            raw = await asyncio.to_thread(shake_hands)
            raw.socket.close()
            a._zap.close()
            with pytest.raises(OSError, match=r"closed|reset|timed out"):
                await asyncio.to_thread(shake_hands)

    asyncio.run(scene())


def test_nodes_meet_over_ipv6_too() -> None:
    async def scene() -> None:
        async with fleet("asas", "bsas") as nodes:
            port = free_ports()
            a, heard_a = nodes.start("asas", ip="::1", port=port, url=f"tcp://[::1]:{port}")
            b, heard_b = nodes.start("bsas")
            b.connect("asas", a.introduction.url)
            await until(lambda: heard_b.ups and heard_a.callers)
            await until(lambda: a.subscribers == 2)
            a.publish(Topic.VOTES, b"six")
            await until(lambda: heard_b.messages)

    if not has_ipv6():
        pytest.skip("no IPv6 loopback here")
    asyncio.run(scene())
