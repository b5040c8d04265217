"""Rule native through the plan: when it goes by a pool's past, and what it learns from it."""

from __future__ import annotations

import random
from decimal import Decimal

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import AverageValueTarget, ExternalMetric, NativePreset, Rule
from controller.model.observation import Pod, PodPhase, Pods, QueueDepth
from controller.model.readings import Fresh
from controller.model.scarcity import TaskUsage, Warm
from controller.planning.demand.learned import FIRST_READY_S
from controller.planning.explain import sentence
from support.table import tabled
from unit.planning.consumer import BY_ITS_PAST, Consumer, goes_by_its_past, learned
from unit.planning.story import START, Story, codes, make_pool, silence

QUEUE_BY_ONE = (ExternalMetric(name="queue", target=AverageValueTarget(milli=1000)),)


def after_a_burst(tasks: int, *, one_by_one: bool | None) -> Decision:
    """The decision when so many tasks of 20 s have arrived at once."""
    consumer = learned(every_s=10, service_s=20.0, max=100)
    consumer.one_by_one = one_by_one
    return consumer.second(tasks)


def test_replicas_that_start_one_after_the_other_are_not_asked_for_to_come_too_late() -> None:
    at_once = after_a_burst(40, one_by_one=None)
    assert after_a_burst(40, one_by_one=False) == at_once
    ordered = after_a_burst(40, one_by_one=True)
    assert at_once.demand is not None
    assert ordered.demand is not None
    current = ordered.current or 0
    assert current < ordered.demand < at_once.demand
    reason = next(reason for reason in ordered.reasons if reason.code in BY_ITS_PAST)
    starts = int(reason.numbers["starts"])
    # the last of them is ready after so many cold starts, and by then as many tasks still wait
    still_waiting = 40 * min(1.0, 20.0 / (starts * FIRST_READY_S))
    assert current + starts <= still_waiting + current + 1
    assert starts + 1 > 40 * 20.0 / ((starts + 1) * FIRST_READY_S) - current
    assert "a new replica is ready after 9 s, one after the other" in sentence(reason, 0.0)


def test_more_tasks_never_lower_what_is_asked_for_where_replicas_start_in_order() -> None:
    asked = [after_a_burst(tasks, one_by_one=True).demand or 0 for tasks in (1, 3, 8, 20, 60)]
    assert asked == sorted(asked)


def test_a_pool_whose_arrivals_stopped_goes_to_zero_and_no_write_follows() -> None:
    consumer = learned(every_s=12, service_s=10.0, cooldown_s=60.0)
    for _ in range(3 * 3600):
        consumer.second()
    assert consumer.story.replicas == 0
    changes = [consumer.second().changes for _ in range(600)]
    assert not any(changes)


def test_a_default_window_gives_way_to_what_was_learned_and_a_configured_one_does_not() -> None:
    def seconds_until_smaller(*, window_given: bool) -> int:
        consumer = learned(
            every_s=20,
            service_s=60.0,
            window_given=window_given,
            native=NativePreset.THRIFTY,
            cooldown_s=0.0,
        )
        consumer.second(10)
        most = consumer.story.replicas
        for second in range(2000):
            consumer.second()
            if consumer.story.replicas < most and not consumer.depth.pending:
                return second
        raise AssertionError("nothing went")

    assert seconds_until_smaller(window_given=False) + 200 < seconds_until_smaller(
        window_given=True
    )


@tabled("delivered", [-1, 2**63, None])
def test_with_an_impossible_counter_the_plain_count_applies(delivered: int | None) -> None:
    consumer = learned(every_s=10, service_s=1.0)
    depth = QueueDepth(pending=6, in_flight=0, delivered=delivered, sequence=5)
    before = consumer.story.remembered.native
    decision = consumer.story.tick(queue=Fresh(value=depth, at=consumer.story.now))
    assert decision.demand == 6
    assert consumer.story.remembered.native is before


def test_an_unknown_queue_keeps_what_was_learned() -> None:
    consumer = learned(every_s=10, service_s=1.0)
    before = consumer.story.remembered.native
    decision = consumer.story.tick(queue=silence(at=consumer.story.now))
    assert consumer.story.remembered.native is before
    assert decision.next == decision.current


def test_the_time_to_ready_is_the_median_of_the_pods_and_is_remembered() -> None:
    consumer = learned(every_s=10, service_s=1.0)
    now = consumer.story.now
    items = tuple(
        Pod(
            name=f"pod-{took}",
            phase=PodPhase.READY,
            created_at=now - 100,
            ready_at=now - 100 + took,
        )
        for took in (5.0, 7.0, 90.0)
    )
    pods = Fresh(value=Pods(ready=3, items=items), at=now)
    consumer.pending += 1
    consumer.story.tick(queue=Fresh(value=consumer.depth, at=now), pods=pods)
    consumer.second()
    memory = consumer.story.remembered.native
    assert memory is not None
    assert memory.ready_s == 7.0


def test_the_configured_task_time_counts_until_it_is_measured() -> None:
    usage = TaskUsage(seconds=120)  # type: ignore[arg-type]  # an int is exact, too
    story = Story(make_pool(usage=usage))
    Consumer(story, 5.0).second()
    memory = story.remembered.native
    assert memory is not None
    assert memory.learned.worked_s / memory.learned.worked == 120.0


def spare_reason(decision: Decision) -> int:
    return next(
        (
            int(reason.numbers["spares"])
            for reason in decision.reasons
            if reason.code is Code.WARM_SPARES
        ),
        0,
    )


def test_spares_for_a_share_of_the_arrivals_come_on_top_of_the_present_work() -> None:
    """They are a floor over what the work takes, not over what the cooldown keeps."""
    story = Story(make_pool(rule=Rule.HPA, metrics=QUEUE_BY_ONE, warm=Warm(slo=Decimal("0.99"))))
    consumer = Consumer(story, service_s=2.0).run(3600, every_s=5)
    # 0.2 a second over 9 s are 1.8: no more than 6 at once in 99 of 100 cases
    for arriving, needed in ((0, 0), (3, 3)):
        decision = consumer.second(arriving)
        assert spare_reason(decision) in {5, 6, 7}
        assert decision.target == needed + spare_reason(decision)
        assert decision.bound is Bound.WARM
        assert not goes_by_its_past(decision)


def test_replicas_that_rule_native_keeps_ready_count_as_spares() -> None:
    warm = Warm(slo=Decimal("0.5"))
    alone = learned(every_s=5, service_s=2.0)
    both = learned(every_s=5, service_s=2.0, warm=warm)
    without, with_spares = alone.second(), both.second()
    assert without.target is not None
    assert with_spares.target is not None
    assert with_spares.target <= max(without.target, 3)


def test_a_first_message_after_a_long_sleep_is_explained_by_its_wake_up() -> None:
    consumer = learned(every_s=20, service_s=15.0, native=NativePreset.THRIFTY, cooldown_s=0.0)
    while consumer.second().next:
        assert consumer.story.now < START + 12 * 3600
    now = consumer.story.now
    decision = consumer.story.tick(queue=Fresh(value=consumer.depth, at=now), woken_at=now)
    assert (decision.demand, decision.next) == (1, 1)
    assert Code.WOKEN in codes(decision)
    assert not goes_by_its_past(decision)


@tabled("setting", NativePreset)
def test_the_numbers_of_each_reason_give_its_value(setting: NativePreset) -> None:
    pool = make_pool(max=60, native=setting, window_given=False)
    consumer, chance = Consumer(Story(pool), service_s=15.0), random.Random(5)
    held = 0
    for _ in range(3000):
        [arriving] = chance.choices([0, 1, 4], [0.9, 0.08, 0.02])
        decision, depth = consumer.second(arriving), consumer.depth
        for reason in decision.reasons:
            if reason.code not in BY_ITS_PAST:
                continue
            base, start, keep = (int(reason.numbers[name]) for name in ("base", "start", "keep"))
            assert depth.in_flight <= base <= start <= keep
            assert base > 0 or not depth.total
            if "hold_s" in reason.numbers:
                assert reason.value == decision.current
                assert (reason.value or 0) > keep
                held += 1
            else:
                assert start <= (reason.value or 0) <= keep
    assert (held > 0) == (setting is NativePreset.CALM)


def test_configured_spares_are_a_floor_that_counts_what_is_worth_keeping() -> None:
    """They no longer stand on what the rule keeps ready: that is spare as well."""

    def consumer(warm: Warm | None) -> Consumer:
        pool = make_pool(max=60, native=NativePreset.CALM, warm=warm, window_given=False)
        return Consumer(Story(pool), service_s=60.0)

    plain, warm, chance = consumer(None), consumer(Warm(replicas=3)), random.Random(3)
    above, floors = [], 0
    for _ in range(3000):
        [arriving] = chance.choices([0, 1, 4], [0.95, 0.04, 0.01])
        without, with_spares = plain.second(arriving), warm.second(arriving)
        above.append((with_spares.target or 0) - (without.target or 0))
        for reason in with_spares.reasons:
            if reason.code in BY_ITS_PAST:
                floor = int(reason.numbers["base"]) + 3
                recommended = with_spares.recommendation or 0
                assert with_spares.target == max(recommended, floor)
                floors += floor > recommended
    assert 0 < max(above[1500:]) <= 3
    assert floors > 0
