"""What holds of pools that are sized by what was learned, whatever happened in their queues."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Code
from controller.model.fleet import NativeCosts, Rule
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh
from property.clusters import Cluster, clusters, of_pools
from property.fleets import HURRIED, natives
from property.queues import Load, Past, loads, pasts
from property.worlds import as_bytes, moved
from support.examples import scaled
from unit.planning.story import Story, make_pool

FEWER = settings(HURRIED, max_examples=scaled(50))
"""Each example has a long past."""
LEARNED = {
    Code.LEARNED_NEED,
    Code.WORTH_STARTING,
    Code.WORTH_KEEPING,
    Code.NOT_WORTH_KEEPING,
    Code.SURPLUS_HELD,
}
work_now = st.lists(loads, min_size=1, max_size=3)
costs = natives.filter(lambda one: isinstance(one, NativeCosts))


def demands(cluster: Cluster, work: list[Load]) -> list[int]:
    """The demand of each pool that is sized by what was learned."""
    result, _ = cluster.ask(cluster.seen(work))
    return [
        decision.demand or 0
        for decision in result.decisions.values()
        if any(reason.code in LEARNED for reason in decision.reasons)
    ]


@FEWER
@given(cluster=clusters(counts=True, most=3), work=work_now)
def test_a_pool_whose_tasks_were_seen_done_is_sized_by_what_was_learned(
    cluster: Cluster, work: list[Load]
) -> None:
    """Otherwise the properties of such pools would be shown of none."""
    for pool in cluster.fleet.pools:
        learned = cluster.memory.pools[pool.key].native
        uses = pool.rule is Rule.NATIVE or (pool.warm is not None and pool.warm.slo is not None)
        assert (learned is not None) == uses
    native_pools = [pool for pool in cluster.fleet.pools if pool.rule is Rule.NATIVE]
    assert len(demands(cluster, work)) == len(native_pools)


@FEWER
@given(
    setting=costs,
    history=st.lists(
        st.tuples(
            st.sampled_from([2.0, 4.0, 31.0]), st.sampled_from([0, 1, 5, 20]), st.integers(0, 6)
        ),
        min_size=12,
        max_size=30,
    ),
    size=st.integers(0, 30),
    more=st.integers(1, 20),
)
def test_more_arrivals_that_wait_never_ask_for_less(
    setting: NativeCosts, history: list[tuple[float, int, int]], size: int, more: int
) -> None:
    story = Story(make_pool(native=setting, max=1000, window_given=False))
    pending = in_flight = delivered = 0
    for passed_s, arriving, slots in history:
        pending += arriving
        in_flight = min(pending, slots)
        pending, delivered = pending - in_flight, delivered + in_flight
        story.replicas = slots
        counted = {"delivered": delivered, "sequence": delivered}
        depth = QueueDepth(pending=pending, in_flight=in_flight, **counted)
        story.tick(queue=Fresh(value=depth, at=story.now), after_s=passed_s)
    story.replicas, memory, now = size, story.memory, story.now
    asked = []
    for waiting in (pending, pending + more):
        story.memory, story.now, story.replicas = memory, now, size
        depth = QueueDepth(pending=waiting, in_flight=in_flight, **counted)
        decision = story.tick(queue=Fresh(value=depth, at=now))
        reason = next((each for each in decision.reasons if each.code in LEARNED), None)
        learned = [] if reason is None else [reason.numbers[name] for name in ("start", "keep")]
        asked.append((decision.demand, learned))
    (few, learned_few), (many, learned_many) = asked
    assert (many or 0) >= (few or 0)
    assert all(most >= less for less, most in zip(learned_few, learned_many, strict=False))


@FEWER
@given(
    cluster=clusters(scarce=False, overridden=False, measured=False),
    future=pasts,
    step_s=st.sampled_from([4096.0, -4096.0, 2.0**20]),
)
def test_a_step_of_the_clock_changes_no_decision(
    cluster: Cluster, future: Past, step_s: float
) -> None:
    """Beside the times that reasons name: ages stay true, in windows, in cooldowns and in what was
    learned.
    """
    stepped = cluster.twin()
    stepped.now, stepped.step_s = cluster.now + step_s, step_s
    for wait_s, work in future:
        usual, other = cluster.tick(work), stepped.tick(work)
        assert {key: moved(one, -step_s) for key, one in other.decisions.items()} == usual.decisions
        cluster.now, stepped.now = cluster.now + wait_s, stepped.now + wait_s


@FEWER
@given(cluster=clusters(counts=True, scarce=False, most=3), work=work_now, again=st.integers(1, 50))
def test_a_message_that_is_only_delivered_again_is_no_arrival(
    cluster: Cluster, work: list[Load], again: int
) -> None:
    work = [load._replace(anew=False, again=0) for load in work]
    seen = cluster.seen(work)
    redelivered = {}
    for key, pool in seen.pools.items():
        assert isinstance(pool.queue, Fresh)
        depth = pool.queue.value
        assert depth.delivered is not None
        redelivered[key] = {
            "queue": replace(pool.queue, value=replace(depth, delivered=depth.delivered + again))
        }
    usual, memory = cluster.ask(seen)
    other, remembered = cluster.ask(of_pools(seen, redelivered))
    for pool in cluster.fleet.pools:
        kept, learned = memory.pools[pool.key].native, remembered.pools[pool.key].native
        if kept is None or learned is None or kept.asked_at != learned.asked_at:
            continue  # one of them looked: a counter that moved is something to look at
        before = cluster.memory.pools[pool.key].native
        counted = cluster.counted[pool.key]
        if before is None or before.sequence is None:
            continue
        if counted.delivered - before.delivered < counted.sequence - before.sequence:
            continue  # a consumer was made anew, and nobody knows how far it had come
        assert as_bytes(kept.learned) == as_bytes(learned.learned)
        assert usual.decisions[pool.key].next == other.decisions[pool.key].next


@FEWER
@given(cluster=clusters(counts=True, scarce=False, most=3), work=work_now)
def test_a_consumer_that_was_created_again_teaches_nothing(
    cluster: Cluster, work: list[Load]
) -> None:
    before = cluster.memory
    _, after = cluster.ask(cluster.seen([load._replace(anew=True, through=40) for load in work]))
    for pool in cluster.fleet.pools:
        old, new = before.pools[pool.key].native, after.pools[pool.key].native
        assert (old is None) == (new is None)
        if old is not None and new is not None and old.delivered > 0:
            assert new.learned.arrivals == old.learned.arrivals
            assert new.learned.completions == old.learned.completions
