"""A pool that is blind for long is raised to what its tier asks for, and never lowered."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Gate
from controller.model.fleet import BlindPolicy, Fleet, Pool, Rule, Tenant, Tier
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.metrics import AverageValueTarget, ExternalMetric, Fallback
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.planning.explain import sentence
from support.asked import a_freeze, a_pause, intents_of
from support.planning import plan
from unit.planning.story import START, behavior, codes, make_pool

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
