"""The timers, what starts them, who leads, who is not waited for (DESIGN.md sections 3 and 4)."""

from __future__ import annotations

import pytest

from zmqnode.base.ballot import draw_fact, init_fact
from zmqnode.base.exchange import SealsAnnounced
from zmqnode.base.params import Params
from zmqnode.base.point import Point
from zmqnode.base.proposal import Proposal
from zmqnode.core.timing import Estimate, Timing

from .harness import BORN_MS, EPOCH_MS, Members, Node, facts, published, words

QUIET = Params(empty_block_interval_ms=0)


def draw(height: int, round_: int = 0) -> object:
    return draw_fact(Point(height=height, round=round_))


# Lengths.


def test_lengths_at_the_start() -> None:
    """t_l = (2D + build)(1 + r/2), t_a = t_l + D + execution, t_n = 2D(1 + r/2) + execution."""
    timing = Timing()
    assert [timing.leader_ms(r) for r in range(4)] == [550, 825, 1100, 1375]
    assert [timing.accept_ms(r) for r in range(4)] == [1050, 1325, 1600, 1875]
    assert [timing.next_ms(r) for r in range(4)] == [750, 1000, 1250, 1500]
    assert timing.resend_ms() == 375


def test_growth_is_linear_and_capped_at_8() -> None:
    timing = Timing()
    assert timing.leader_ms(14) == timing.leader_ms(15) == timing.leader_ms(1000) == 8 * 550
    assert timing.next_ms(14) == timing.next_ms(1000) == 8 * 500 + 250


def test_d_follows_the_p99_within_its_bounds() -> None:
    timing = Timing()
    for _ in range(100):
        timing.delay.add(3)
    assert timing.delay.value == 10
    timing.delay.add(40)
    assert timing.delay.value == 10  # One of a hundred is above the p99.
    timing.delay.add(50)
    assert timing.delay.value == 40
    timing.delay.add(99_000)
    timing.delay.add(99_000)
    assert timing.delay.value == 2000


def test_from_round_2_on_d_is_at_least_its_start() -> None:
    timing = Timing()
    for _ in range(100):
        timing.delay.add(20)
    assert [timing.delay_ms(r) for r in range(4)] == [20, 20, 250, 250]


def test_t_r_stays_between_20_ms_and_1_s() -> None:
    timing = Timing()
    for _ in range(100):
        timing.delay.add(1)
    assert timing.resend_ms() == 20
    for _ in range(100):
        timing.delay.add(1_900)
    assert timing.resend_ms() == 1000


@pytest.mark.parametrize("which", ["build", "execution"])
def test_allowances_are_at_least_50_ms(which: str) -> None:
    estimate: Estimate = getattr(Timing(), which)
    for _ in range(100):
        estimate.add(1)
    assert estimate.value == 50


def first_height(node: Node, members: Members, wait_ms: int) -> None:
    """Height 1 of members 0 (this node), 1, 2, 3: the q-th INIT ``wait_ms`` after the start."""
    value = members.value(members.genesis)
    node.hear(members.proposal(1, 0, value), members.init(2, 1, 0, value))
    node.wait(wait_ms)
    node.hear(members.init(1, 1, 0, value))


def test_d_learns_from_the_start_of_the_timers_to_the_qth_init() -> None:
    node = Node(four := Members(4))
    node.join()
    first_height(node, four, 300)
    assert node.kernel.timing.delay.value == 300
    node.wait(200)
    node.hear(four.init(3, 1, 0, four.value(four.genesis)))
    assert node.kernel.timing.delay.value == 300  # Later ballots do not count.


def test_d_learns_nothing_from_an_idle_wait() -> None:
    """Height 2 starts with work, 700 ms after block 1."""
    node = Node(four := Members(4), params=QUIET)
    node.join()
    node.decided()
    node.wait(700)
    before = list(node.kernel.timing.delay._samples)
    value = node.next_value()
    node.hear(four.proposal(2, 0, value, reasons=node.parent_vp()))
    node.wait(30)
    node.hear(*(four.init(i, 2, 0, value) for i in (1, 2)))
    assert list(node.kernel.timing.delay._samples) == [*before, 30]


def test_d_learns_nothing_from_a_round_without_a_proposal() -> None:
    node = Node(four := Members(4))
    node.join()
    before = list(node.kernel.timing.delay._samples)
    value = four.value(four.genesis)
    node.hear(*(four.init(i, 1, 0, value) for i in (1, 2, 3)))
    assert node.machine.consensus.votes.here.init_vp is not None
    node.hear(four.draw_vp(1, 0, (1, 2, 3)))
    assert list(node.kernel.timing.delay._samples) == before


# Who leads.


@pytest.mark.parametrize(
    ("height", "order"),
    [(1, [1, 2, 3, 0]), (2, [2, 3, 0, 1]), (3, [3, 0, 1, 2])],
)
def test_without_carried_votes_all_are_present(height: int, order: list[int]) -> None:
    """Blocks 1 and 2 carry none: the suffrage rotated left by H mod n."""
    four = Members(4)
    node = Node(four)
    node.join(four.chain(height - 1, voters=lambda h: (0, 1, 2)))
    leaders = [node.kernel.chain.leader(height, r).address for r in range(5)]
    assert leaders == [four.addresses[i] for i in [*order, order[0]]]


def test_the_absent_lead_last() -> None:
    """Block 3 carries the votes on block 1, and counts at heights 5 to 8."""
    four = Members(4)
    node = Node(four)
    node.join(four.chain(4, voters=lambda h: (0, 2, 3)))
    leaders = [node.kernel.chain.leader(5, r).address for r in range(4)]
    # Present 0, 2, 3 rotated left by 5 mod 3; then absent 1.
    assert leaders == [four.addresses[i] for i in (3, 0, 2, 1)]
    # Height 4 is led by what blocks up to 2 carry: nothing.
    leaders = [node.kernel.chain.leader(4, r).address for r in range(4)]
    assert leaders == [four.addresses[i] for i in (0, 1, 2, 3)]


def test_several_absent_are_rotated_by_their_own_number() -> None:
    seven = Members(7)
    node = Node(seven)
    node.join(seven.chain(8, voters=lambda h: (0, 1, 3, 4, 6)))
    leaders = [node.kernel.chain.leader(9, r).address for r in range(7)]
    assert leaders == [seven.addresses[i] for i in (6, 0, 1, 3, 4, 5, 2)]


@pytest.mark.parametrize(("height", "present"), [(8, True), (9, False)])
def test_presence_counts_the_carried_votes_of_blocks_h_5_to_h_2(height: int, present: bool) -> None:
    """Member 1 voted for block 1 alone, carried by block 3: present at 5 to 8, absent at 9."""
    four = Members(4)
    node = Node(four)
    node.join(four.chain(height - 1, voters=lambda h: range(4) if h == 1 else (0, 2, 3)))
    order = [node.kernel.chain.leader(height, r).address for r in range(4)]
    assert (order[-1] != four.addresses[1]) is present


# Has work, and the intervals.


def test_height_1_has_work() -> None:
    node = Node(four := Members(4), me=1, params=QUIET)
    assert published(node.join(), Proposal)[0].value.height == 1
    assert four.n == 4


def idle(params: Params = QUIET, me: int = 2) -> tuple[Node, Members]:
    """The leader of (2, 0), at (2, 0)."""
    node = Node(four := Members(4), me=me, params=params)
    node.join()
    node.decided()
    return node, four


def test_no_timer_runs_without_work() -> None:
    node, _ = idle(me=0)
    effects = node.wait(60_000)
    assert facts(effects) == []
    assert words(effects) == []


def test_a_seal_is_work() -> None:
    node, four = idle()
    (proposal,) = published(node.pool_seals(seal := four.seal()), Proposal)
    assert proposal.value.seals == (seal.hash,)


@pytest.mark.parametrize("what", ["proposal", "ballot"])
def test_a_proposal_or_ballot_of_the_height_is_work(what: str) -> None:
    node, four = idle(me=0)
    value = node.next_value()
    if what == "proposal":
        node.hear(four.proposal(2, 0, value, reasons=node.parent_vp()))
        assert draw(2) in facts(node.wait(1050))
    else:
        node.hear(four.init(1, 2, 0, value))
        assert draw(2) in facts(node.wait(550))


def test_timers_start_with_work_not_before() -> None:
    node, four = idle(me=0)
    node.wait(10_000)
    node.pool_seals(four.seal(created_at_ms=node.clock_ms))
    assert draw(2) not in facts(node.wait(549))
    assert draw(2) in facts(node.wait(1))


def test_the_empty_block_interval_is_work() -> None:
    node, _ = idle(Params(empty_block_interval_ms=800))
    assert published(node.wait(799), Proposal) == []
    (proposal,) = published(node.wait(1), Proposal)
    assert proposal.value.seals == ()


def test_nothing_starts_before_the_block_interval_is_over() -> None:
    node, four = idle(Params(block_interval_ms=600, empty_block_interval_ms=0))
    assert published(node.pool_seals(four.seal()), Proposal) == []
    assert published(node.wait(599), Proposal) == []
    assert len(published(node.wait(1), Proposal)) == 1


def test_not_even_for_others_ballots() -> None:
    node, four = idle(Params(block_interval_ms=600), me=0)
    node.hear(four.init(1, 2, 0, node.next_value()))
    assert draw(2) not in facts(node.wait(600 + 549))
    assert draw(2) in facts(node.wait(1))


def test_later_rounds_need_no_work_and_take_an_empty_value() -> None:
    node, four = idle(me=3)
    (proposal,) = published(node.hear(four.draw_vp(2, 0, (0, 1, 2))), Proposal)
    assert (proposal.round, proposal.value.seals) == (1, ())


def test_who_has_work_announces_its_oldest_seals_after_t_r() -> None:
    node, four = idle(me=0)
    seals = [four.seal() for _ in range(70)]
    node.pool_seals(*seals)
    (announced,) = published(node.wait(375), SealsAnnounced)
    assert announced.seals == tuple(seal.hash for seal in seals[:64])


# Block time.


def test_a_leader_takes_its_clock_but_more_than_the_parent() -> None:
    four = Members(4)
    ahead = EPOCH_MS + BORN_MS + 5_000
    node = Node(four, me=2)
    effects = node.join(four.chain(1, time_ms=lambda h: ahead))
    assert published(effects, Proposal) == []
    (proposal, *_) = published(node.pool_seals(four.seal()), Proposal)
    assert proposal.value.time_ms == ahead + 1
    late = Node(four, me=2)
    late.join(four.chain(1))
    (proposal, *_) = published(late.pool_seals(four.seal()), Proposal)
    assert proposal.value.time_ms == EPOCH_MS + BORN_MS


# Skipping.


def after(heights: int, *, me: int, silent: int, params: Params = Params()) -> tuple[Node, Members]:  # noqa: B008
    """``silent`` signs nothing for ``heights`` heights, 2,001 ms in all; the others decide."""
    members = Members(4)
    node = Node(members, me=me, params=params)
    node.join()
    rest = tuple(i for i in range(4) if i != silent)
    for height in range(heights):
        node.wait(2_001 // heights + 1)
        node.hear(*(members.status(i, height, clock_ms=node.clock_ms) for i in rest[1:]))
        node.decided(who=rest)
    return node, members


def leads(node: Node, members: Members, i: int) -> bool:
    found: bool = node.kernel.chain.leader(node.tip.height + 1, 0).address == members.addresses[i]
    return found


def test_an_absent_leader_is_not_waited_for() -> None:
    node, four = after(3, silent=0, me=1)
    assert leads(node, four, 0)  # Height 4: blocks up to 2 carry nothing.
    effects = node.wait(1_000)  # The empty block interval: work.
    assert facts(effects)[0] == draw(4)
    assert words(effects).count("record! DRAW 4/0") == 1


def test_its_proposal_is_taken_if_it_is_here() -> None:
    node, four = after(3, silent=0, me=1)
    value = node.next_value()
    effects = node.hear(four.proposal(0, 0, value, reasons=node.parent_vp()))
    assert facts(effects) == [init_fact(Point(height=4, round=0), value.hash)]


@pytest.mark.parametrize("seen", ["ballot", "status", "a ballot in a voteproof"])
def test_who_was_seen_is_waited_for(seen: str) -> None:
    node, four = after(2, silent=0, me=1, params=QUIET)
    if seen == "ballot":
        tip_value = node.decided(who=(1, 2, 3))
        node.hear(four.accept(0, 3, 0, tip_value))
        node.wait(2_100)
    elif seen == "status":
        node.decided(who=(1, 2, 3))
        node.hear(four.status(0, 3, clock_ms=node.clock_ms))
    else:
        node.decided(who=(0, 1, 2))
        node.wait(2_100)
    assert leads(node, four, 0)
    node.pool_seals(four.seal(created_at_ms=node.clock_ms))
    assert draw(4) not in facts(node.wait(549))
    assert draw(4) in facts(node.wait(1))


def test_an_old_status_sent_again_by_somebody_else_is_no_sign_of_life() -> None:
    """Goal: one member cannot make a dead leader cost t_l. Method: it repeats its last word."""
    four = Members(4)
    node = Node(four, me=1)
    node.join()
    old = four.status(0, 0, clock_ms=node.clock_ms)
    node.hear(old)
    for height in range(3):
        node.wait(900)
        statuses = [four.status(i, height, clock_ms=node.clock_ms) for i in (2, 3)]
        node.hear(*statuses)
        node.hear(old, source=3)
        node.decided(who=(1, 2, 3))
    assert leads(node, four, 0)
    assert facts(node.wait(1_000))[0] == draw(4)


def test_the_leaders_own_draw_is_joined_at_once() -> None:
    node = Node(four := Members(4))
    node.join()
    assert facts(node.hear(four.draw(2, 1, 0))) == []
    assert facts(node.hear(four.draw(1, 1, 0))) == [draw(1)]


def test_f_plus_1_draws_are_joined_at_once() -> None:
    node = Node(four := Members(4))
    node.join()
    assert facts(node.hear(four.draw(2, 1, 0), four.draw(3, 1, 0))) == [draw(1)]


def test_draws_are_not_joined_by_who_holds_a_valid_proposal() -> None:
    node = Node(four := Members(4))
    node.join()
    node.hear(four.proposal(1, 0, four.value(four.genesis)))
    assert facts(node.hear(four.draw(1, 1, 0), four.draw(2, 1, 0))) == []


# Rounds that fell apart.


def test_one_sample_no_more_than_doubles_d() -> None:
    """Goal: an outage is no delay; a network that is slow is learned in three rounds."""
    timing = Timing()
    for _ in range(100):
        timing.sample_delay(20)
    timing.sample_delay(60_000)
    assert max(timing.delay._samples) == 40
    slow = Timing()
    for expected in (500, 1000, 2000, 2000):
        slow.sample_delay(1_900 if expected < 2000 else 5_000)
        assert slow.delay.value == expected


def third_time(four: Members) -> tuple[Node, int]:
    """A node at (1, 0) with INIT VP and an own ACCEPT, that waits for t_n; when t_n is over."""
    node = Node(four)
    node.join()
    value = four.value(four.genesis)
    node.hear(four.proposal(1, 0, value), *(four.init(i, 1, 0, value) for i in (1, 2)))
    node.executes(value)
    (due_ms,) = [due for timer, due in node.kernel.deadlines.items() if timer.name == "NEXT"]
    return node, int(due_ms)


@pytest.mark.parametrize(("ahead", "at_once"), [((1,), False), ((1, 2), True), ((1, 1), False)])
def test_t_n_is_not_waited_for_once_f_plus_1_members_went_on(
    ahead: tuple[int, ...], at_once: bool
) -> None:
    """Goal: one may lie about where it is, f + 1 do not all. Method: ballots of later rounds."""
    node, due_ms = third_time(four := Members(4))
    assert due_ms > node.now_ms + 100
    for at, member in enumerate(ahead):
        node.hear(four.draw(member, 1, 1 + at))
    node.wait(0)
    assert node.machine.consensus.votes.round == (1 if at_once else 0)


def test_t_n_is_not_begun_by_who_already_saw_the_others_go_on() -> None:
    node = Node(four := Members(4))
    node.join()
    value = four.value(four.genesis)
    node.hear(*(four.init(i, 1, 1, value) for i in (1, 3)))
    assert node.machine.consensus.votes.round == 0
    node.hear(four.proposal(1, 0, value), *(four.init(i, 1, 0, value) for i in (1, 2)))
    node.executes(value)
    node.wait(0)
    assert node.machine.consensus.votes.round == 1
