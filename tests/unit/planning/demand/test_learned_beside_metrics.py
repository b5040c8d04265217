"""What rule native has learned of a queue beside the pool's metrics: neither hides the other."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from controller.model.decision import Code, Decision, Gate
from controller.model.fleet import NativeCosts, Pool, ResourceMetric, Rule, UtilizationTarget
from controller.model.observation import (
    MetricValue,
    QueueDepth,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.scarcity import Warm
from controller.planning.demand.native import arrivals_per_s, spares_for_arrivals
from unit.planning.consumer import goes_by_its_past, learned
from unit.planning.metered import serving, usage
from unit.planning.story import Story, behavior, codes, make_pool

CPU = ResourceMetric(resource="cpu", target=UtilizationTarget(percent=60))
# with these costs a replica without a message is hardly ever worth it
FRUGAL = NativeCosts(start_wait_cost=0.01, keep_wait_cost=0.01)
EAGER = NativeCosts(start_wait_cost=90.0, keep_wait_cost=90.0)


class Queue:
    """A pool whose queue counts its deliveries; a pod uses 1 % of its CPU."""

    def __init__(self, pool: Pool) -> None:
        self.story = Story(pool, replicas=1)
        self.delivered = 0

    def tick(
        self,
        done: int = 0,
        *,
        pending: int = 0,
        in_flight: int = 0,
        cpu: Reading[MetricValue] | None = None,
    ) -> Decision:
        """A look at the queue after so many tasks were done."""
        self.delivered += done + in_flight
        depth = QueueDepth(
            pending=pending,
            in_flight=in_flight,
            delivered=self.delivered,
            sequence=self.delivered,
        )
        pods = range(self.story.replicas)
        return self.story.tick(
            queue=Fresh(value=depth, at=self.story.now),
            after_s=4.0,
            metrics={"cpu": cpu or usage(*(10 for _ in pods))},
            measured_pods=tuple(serving(str(number), "cpu") for number in pods),
        )


def settled(native: NativeCosts, done: int = 12, **fields: object) -> Queue:
    """A pool that has seen enough tasks done for rule native to trust its past."""
    given = {"behavior": behavior(down_window_s=0), "cooldown_s": 20.0, "metrics": (CPU,), **fields}
    queue = Queue(make_pool("research", native=native, **given))
    queue.tick()
    queue.tick(done)
    return queue


def test_replicas_for_likely_work_start_while_a_metric_is_unknown() -> None:
    queue = settled(EAGER, done=60)
    queue.story.replicas = 0
    silent = Absent(why=Why.TIMED_OUT, at=queue.story.now)
    assert (queue.tick(cpu=silent).next or 0) >= 1


def test_work_below_the_activation_adds_replicas_until_the_cooldown_ends() -> None:
    """As it does without the metric: the cooldown of an inactive pool is one of a running pool."""
    pool = make_pool(metrics=(CPU,), activation=5, cooldown_s=60.0, max=6)
    for later_s, size in ((30.0, 3), (90.0, 1)):
        queue = Queue(pool)
        queue.tick(pending=9)
        queue.story.replicas, queue.story.now = 1, queue.story.now + later_s
        silent = Absent(why=Why.TIMED_OUT, at=queue.story.now)
        assert queue.tick(pending=3, cpu=silent).next == size


def test_a_pool_above_max_whose_cpu_is_unknown_is_held_under_either_rule() -> None:
    for rule in Rule:
        queue = Queue(replace(make_pool(max=3, min=1), metrics=(CPU,), rule=rule))
        queue.tick()
        queue.story.now += 1000.0
        queue.story.replicas = 7
        decision = queue.tick(cpu=Absent(why=Why.REFUSED, at=queue.story.now))
        assert (decision.next, decision.gate) == (7, Gate.BLIND)
        assert Code.HELD_UNMEASURED in codes(decision)


def test_a_pool_that_has_only_cpu_as_metric_says_why_it_does_not_stay_at_zero() -> None:
    queue = Queue(make_pool(metrics=(CPU,), rule=Rule.HPA))
    queue.story.replicas = 0
    decision = queue.tick()
    assert (decision.next, codes(decision)[-1]) == (1, Code.AT_MIN)


def test_a_burst_between_two_turns_is_served_at_once() -> None:
    queue = settled(FRUGAL, metrics=())
    queue.tick(done=1)
    asked_at = queue.story.now - 4.0
    queue.story.now -= 3.9
    decision = queue.tick(pending=12)
    memory = queue.story.memory.pools[queue.story.pool.key].native
    assert memory is not None
    assert memory.asked_at == asked_at, "it is not the rule's turn"
    # tasks that take half a minute each, beside nine seconds until a replica is ready
    assert goes_by_its_past(decision)
    assert decision.demand is not None
    assert decision.demand >= 2


def test_messages_in_flight_are_covered() -> None:
    queue = settled(FRUGAL, metrics=())
    assert (queue.tick(in_flight=7).demand or 0) >= 7


def test_replicas_that_the_rule_keeps_ready_are_among_the_spares() -> None:
    warm = Warm(slo=Decimal("0.99"))
    consumer = learned(every_s=5, service_s=2.0, warm=warm)
    decision = consumer.second()
    memory = consumer.story.remembered.native
    assert memory is not None
    arrivals = Decimal(repr(arrivals_per_s(memory.learned, consumer.story.now) * 9.0))
    most = spares_for_arrivals(float(arrivals) * 1.25, 0.99)
    assert decision.recommendation is not None
    assert decision.target is not None
    assert decision.recommendation > memory.base
    assert decision.recommendation < decision.target <= memory.base + most
