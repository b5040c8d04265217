"""Spares are a floor over what the present work takes: they stand on nothing else that keeps a pool
large.
"""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Gate
from controller.model.fleet import (
    AverageValueTarget,
    Behavior,
    BlindPolicy,
    ExternalMetric,
    Fallback,
    Fleet,
    PolicyType,
    Pool,
    Rule,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
    Tenant,
    Tier,
)
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources, Warm
from controller.planning.explain import sentence
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.planning import plan
from unit.planning.story import START, Story, behavior, codes, make_pool, pods, silence

WARM = Warm(replicas=2)
KEPT = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=0, select_policy=SelectPolicy.DISABLED),
)
SLOWLY = Behavior(
    scale_up=ScalingRules(
        stabilization_window_s=0,
        policies=(ScalingPolicy(type=PolicyType.PODS, value=1, period_s=60),),
    ),
    scale_down=ScalingRules(stabilization_window_s=300),
)
rules = pytest.mark.parametrize("rule", list(Rule))


@rules
def test_a_blind_pool_with_spares_does_not_grow_by_them_again_and_again(rule: Rule) -> None:
    story = Story(make_pool(rule=rule, warm=WARM), replicas=3)
    sizes = {story.tick(queue=silence()).next for _ in range(5)}
    assert sizes == {3}


def test_a_blind_pool_still_has_its_spares_on_top_of_min() -> None:
    story = Story(make_pool(min=2, warm=WARM), replicas=2)
    assert story.tick(queue=silence()).next == 4


@rules
def test_a_pool_that_may_not_shrink_does_not_grow_by_its_spares(rule: Rule) -> None:
    story = Story(make_pool(rule=rule, warm=WARM, behavior=KEPT), replicas=6)
    assert story.ticks(5) == [6] * 5


@rules
def test_spares_open_no_way_around_a_policy_on_growth(rule: Rule) -> None:
    story = Story(make_pool(rule=rule, warm=WARM, behavior=SLOWLY), replicas=1)
    assert story.ticks(20, pending=9) == [2] * 20


def test_spares_follow_once_the_policy_has_granted_what_the_work_needs() -> None:
    story = Story(make_pool(warm=WARM, behavior=behavior(up=(pods(4, 15),))), replicas=1)
    assert story.ticks(40, pending=9)[-1] == 11


def test_spares_that_woke_an_idle_pool_are_not_taken_for_work() -> None:
    story = Story(make_pool(warm=WARM), replicas=0)
    assert story.ticks(20) == [2] * 20


def test_spares_do_not_stand_on_what_a_window_keeps() -> None:
    """The window keeps 4. The spares are a floor over the work there is: max(4, work + 2)."""
    story = Story(make_pool(warm=WARM), replicas=6).warmed_up(pending=4)
    assert [story.tick(pending=work).next for work in (4, 0, 3, 0, 4)] == [6, 4, 5, 4, 6]


def test_spares_do_not_stand_on_what_a_cooldown_keeps() -> None:
    story = Story(make_pool(warm=WARM, cooldown_s=60.0, behavior=behavior(down_window_s=0)))
    story.tick(pending=1)
    assert story.replicas == 3
    assert story.ticks(100) == [2] * 100


def test_spares_do_not_stand_on_what_a_policy_keeps() -> None:
    slow = behavior(down_window_s=0, down=(pods(1, 60),))
    story = Story(make_pool(warm=WARM, behavior=slow), replicas=9).warmed_up(pending=7)
    assert story.ticks(1, pending=1) == [8]
    assert story.ticks(600, pending=1)[-1] == 3


@rules
def test_spares_are_named_also_where_the_recommendation_covers_them(rule: Rule) -> None:
    story = Story(make_pool(rule=rule, warm=WARM, behavior=KEPT), replicas=6)
    decision = story.tick(pending=1)
    assert (decision.next, decision.bound) == (6, Bound.DEMAND)
    assert Code.WARM_SPARES in codes(decision)


def test_without_a_known_demand_spares_stand_on_min_alone() -> None:
    story = Story(make_pool(min=1, warm=WARM), replicas=2)
    decision = story.tick(queue=silence())
    assert (decision.target, decision.bound) == (3, Bound.WARM)


def test_a_pin_in_a_young_memory_counts_what_runs() -> None:
    story = Story(make_pool(), replicas=6)
    story.intents = intents_of(pins=(a_pin(pool=story.pool.key, replicas=3),))
    assert story.tick(pending=1).next == 6
    assert story.tick(pending=5).next == 8


def test_a_pool_with_just_its_spares_is_not_held_while_memory_is_young() -> None:
    story = Story(make_pool(warm=WARM), replicas=5)
    decision = story.tick(pending=3)
    assert (decision.target, decision.next, decision.gate) == (5, 5, None)


@rules
@pytest.mark.parametrize("watched_s", [0, 20])
def test_spares_open_no_way_around_an_upward_window(rule: Rule, watched_s: int) -> None:
    patient = behavior(up_window_s=10, down_window_s=5)
    story = Story(make_pool(rule=rule, min=1, warm=WARM, behavior=patient), replicas=3)
    assert set(story.ticks(watched_s)) <= {3}
    sizes = story.ticks(14, pending=6)
    assert sizes[:8] == [3] * 8
    assert sizes[-1] == 8


@pytest.mark.parametrize("messages", [191, 199, 201, 209])
def test_spares_beside_a_tolerated_size_come_once_and_stay(messages: int) -> None:
    metric = ExternalMetric(name="queue", target=AverageValueTarget(milli=10_000))
    at_once = behavior(down_window_s=0)
    pool = make_pool(rule=Rule.HPA, max=60, warm=WARM, behavior=at_once, metrics=(metric,))
    needed = -(-messages // 10) + 2
    for replicas in (1, needed - 2, needed, 30):
        story = Story(pool, replicas=replicas)
        sizes = []
        for _ in range(10):
            workload = Workload(replicas=story.replicas, current=story.replicas)
            story.tick(messages, workload=Fresh(value=workload, at=story.now))
            sizes.append(story.replicas)
        assert sizes[-5:] == [needed] * 5


def test_a_spare_beside_a_cooldown_comes_once() -> None:
    story = Story(make_pool(cooldown_s=60.0, behavior=behavior(down_window_s=10)), replicas=0)
    story.tick(pending=1, after_s=1.0)
    story.replicas = 0  # the message is gone, and the replica was removed by hand
    story.intents = intents_of(pins=(a_pin(pool=story.pool.key, replicas=1),))
    assert story.ticks(20) == [1] * 20


NOTHING = QueueDepth(pending=0, in_flight=0)
POOL = make_pool(cooldown_s=5.0, behavior=behavior(down_window_s=0))
POLICY = BlindPolicy(after_s=600.0, replicas=2)


class BlindPool:
    """One pool whose queue may be unknown; its tier waits ten minutes and then asks for two."""

    def __init__(
        self,
        replicas: int = 0,
        pool: Pool = POOL,
        policy: BlindPolicy | None = POLICY,
        intents: Intents | None = None,
        quota: int | None = None,
    ) -> None:
        tier = Tier(name="growth", priority=500, blind=policy)
        tenant = Tenant(
            name="acme", tier=tier, namespace="tenant-acme", quota=Resources(replicas=quota)
        )
        self.fleet = Fleet(tiers=(tier,), tenants=(tenant,), pools=(pool,))
        self.pool = pool
        self.intents = intents or Intents()
        self.replicas = replicas
        self.memory = Memory()
        self.now = START

    def tick(self, queue: Reading[QueueDepth] | None = None, step_s: float = 0.0) -> Decision:
        """A plan without a queue, unless one is given; the planner remembers since when."""
        self.now += 1 + step_s
        seen = PoolObservation(
            queue=queue or Absent(why=Why.DISCONNECTED, at=self.now),
            workload=Fresh(value=Workload(replicas=self.replicas), at=self.now),
            pods=Fresh(value=Pods(ready=self.replicas), at=self.now),
        )
        observation = Observation(pools={self.pool.key: seen}, clock_step_s=step_s)
        result, self.memory = plan(observation, self.fleet, self.intents, self.memory, self.now)
        decision = result.decisions[self.pool.key]
        self.replicas = self.replicas if decision.next is None else decision.next
        return decision

    def counted(self, messages: int) -> Decision:
        depth = QueueDepth(pending=messages, in_flight=0)
        return self.tick(Fresh(value=depth, at=self.now + 1))

    def ticks(self, seconds: int) -> list[int]:
        sizes = []
        for _ in range(seconds):
            self.tick()
            sizes.append(self.replicas)
        return sizes


def long_blind(**fields: object) -> Decision:
    blind = BlindPool(**fields)  # type: ignore[arg-type]  # its own keywords
    blind.ticks(601)
    return blind.tick()


@pytest.mark.parametrize("replicas", [0, 1])
def test_after_its_time_a_blind_pool_is_raised_and_not_before(replicas: int) -> None:
    blind = BlindPool(replicas)
    assert blind.ticks(602) == [replicas] * 601 + [2]


def test_the_reason_says_since_when_nothing_was_known() -> None:
    blind = BlindPool(1)
    blind.ticks(601)
    raised = blind.tick()
    assert codes(raised) == [Code.QUEUE_UNKNOWN, Code.BLIND_FOR_LONG]
    assert (raised.target, raised.bound, raised.gate) == (2, Bound.DEMAND, None)
    assert raised.reasons[-1].numbers == {"since": START + 1, "after_s": 600.0}
    said = sentence(raised.reasons[-1], blind.now)
    assert "10 min 1 s, longer than 10 min: at least 2 replicas" in said
    after = blind.tick()
    assert codes(after) == [Code.QUEUE_UNKNOWN, Code.BLIND_FOR_LONG, Code.HELD_BLIND]
    assert (after.next, after.gate) == (2, Gate.BLIND)


def test_a_larger_pool_is_never_lowered() -> None:
    decision = long_blind(replicas=5)
    assert (decision.next, codes(decision)) == (5, [Code.QUEUE_UNKNOWN, Code.HELD_BLIND])


def test_without_a_policy_a_blind_pool_is_only_held() -> None:
    assert long_blind(replicas=1, policy=None).next == 1


def test_a_stale_answer_tells_since_when() -> None:
    blind = BlindPool()
    assert blind.tick(Stale(value=NOTHING, at=START - 599)).next == 0
    assert blind.tick(Stale(value=NOTHING, at=START - 599)).next == 2


def test_a_stale_answer_that_is_then_lost_is_remembered() -> None:
    blind = BlindPool()
    blind.tick(Stale(value=NOTHING, at=START - 599))
    assert blind.tick().next == 2


def test_an_absence_that_was_found_out_long_ago_counts_from_then() -> None:
    assert BlindPool().tick(Absent(why=Why.CONSUMER_MISSING, at=START - 600)).next == 2


def test_a_pool_with_other_metrics_is_not_blind_because_its_queue_is() -> None:
    lag = ExternalMetric(name="lag", target=AverageValueTarget(milli=1_000))
    blind = BlindPool(1, pool=replace(POOL, rule=Rule.HPA, metrics=(lag,)))
    decision = blind.tick(Stale(value=NOTHING, at=START - 9_000))
    assert (decision.next, codes(decision)[-1]) == (1, Code.HELD_UNMEASURED)


def test_a_good_answer_in_between_starts_the_time_again() -> None:
    blind = BlindPool()
    blind.ticks(500)
    blind.counted(0)
    assert blind.ticks(602) == [0] * 601 + [2]


def test_a_newer_stale_answer_starts_the_time_again() -> None:
    blind = BlindPool()
    blind.ticks(599)
    assert blind.tick(Stale(value=NOTHING, at=blind.now - 10)).next == 0
    assert blind.tick(Stale(value=NOTHING, at=blind.now - 10)).next == 0


def test_after_a_good_answer_the_pool_is_sized_by_its_work_again() -> None:
    blind = BlindPool()
    blind.ticks(700)
    assert blind.counted(1).next == 1


def test_a_pools_own_fallback_counts_if_it_is_larger() -> None:
    for replicas, expected in ((1, 2), (6, 6)):
        fallback = Fallback(failure_threshold=3, replicas=replicas)
        assert long_blind(pool=replace(POOL, fallback=fallback)).next == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"pool": replace(POOL, max=1)}, 1),
        ({"intents": intents_of(pauses=(a_pause(scope=Scope()),))}, 0),
        ({"intents": intents_of(freezes=(a_freeze(scope=Scope()),))}, 0),
        ({"quota": 1}, 1),
    ],
)
def test_ceilings_and_a_freeze_still_hold(fields: dict[str, object], expected: int) -> None:
    assert long_blind(**fields).next == expected


def test_a_pool_that_was_switched_off_by_hand_stays_off() -> None:
    decision = long_blind(pool=replace(POOL, min=1))
    assert (decision.next, codes(decision)[-1]) == (0, Code.SCALED_TO_ZERO_BY_HAND)


def test_a_step_of_the_clock_adds_no_blind_time() -> None:
    blind = BlindPool()
    blind.ticks(300)
    blind.tick(step_s=3_600.0)
    assert blind.ticks(301) == [0] * 300 + [2]


def test_a_clock_that_was_set_back_between_two_runs_does_not_prolong_it() -> None:
    blind = BlindPool()
    blind.counted(0)
    blind.now += 9_000
    blind.ticks(300)
    blind.now -= 86_400
    assert blind.ticks(602)[-1] == 2


def test_a_restart_remembers_since_when() -> None:
    blind = BlindPool()
    blind.ticks(601)
    blind.memory = msgspec.json.decode(msgspec.json.encode(blind.memory), type=Memory)
    assert blind.tick().next == 2


def test_while_it_is_blind_the_memory_stays_as_it_is() -> None:
    blind = BlindPool()
    blind.tick()
    before = blind.memory.pools
    blind.tick()
    assert blind.memory.pools is before
