"""Writes that were asked for: which of them count against the rate policies, and from when."""

from __future__ import annotations

from controller.model.decision import Code
from controller.model.memory import ScaleChange
from controller.model.observation import Workload
from controller.model.readings import Fresh
from unit.planning.story import START, Story, behavior, codes, make_pool, pods

LIMITED = behavior(up=(pods(4, 60),), down_window_s=0, down=(pods(2, 60),))


def test_a_write_that_is_seen_counts_from_when_it_was_asked_for() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.tick(9)
    assert not story.remembered.scaled_up
    story.tick(9)
    assert story.remembered.scaled_up == (ScaleChange(change=4, at=START),)
    assert story.remembered.asked is None


def test_a_write_that_is_not_seen_yet_is_not_counted_and_keeps_its_first_time() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.ignores_writes = True
    assert [story.tick(9).next for _ in range(29)] == [7] * 29
    asked = story.remembered.asked
    assert asked is not None
    assert asked.at == START
    assert not story.remembered.scaled_up


def test_a_write_that_was_refused_for_long_counts_from_when_it_is_seen() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.ignores_writes = True
    for _ in range(25):
        story.tick(9)
    story.ignores_writes = False
    applied_at = story.now
    story.tick(9)
    while (decision := story.tick(12)).next == 7:
        pass
    assert decision.next == 11
    assert story.now - applied_at >= 60.0


def test_a_write_whose_answer_was_lost_is_not_stepped_twice() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.ignores_writes = True
    story.tick(9)
    story.tick(5)  # less is wanted now: another size is asked for, and refused as outdated
    story.ignores_writes, story.replicas = False, 7  # now the first write is seen
    decision = story.tick(20)
    assert decision.next == 7
    assert decision.reasons[-1].code is Code.RATE_LIMITED_UP
    assert story.remembered.scaled_up[0].change == 4


def test_a_write_that_is_never_seen_is_forgotten() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.ignores_writes = True
    story.tick(9)
    story.wait(30)
    story.tick(3)
    assert story.remembered.asked is None
    assert not story.remembered.scaled_up


def test_a_change_by_another_writer_is_not_counted() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.ignores_writes = True
    story.tick(9)
    story.replicas = 5
    decision = story.tick(9)
    assert not story.remembered.scaled_up
    assert decision.next == 9


def test_events_that_can_no_longer_count_are_dropped() -> None:
    story = Story(make_pool(behavior=LIMITED, max=1_000), replicas=1)
    for size in range(200):
        story.tick(size * 4)
        story.wait(30)
    assert len(story.remembered.scaled_up) <= 3


def test_without_policies_no_event_is_kept() -> None:
    story = Story(make_pool(), replicas=1)
    story.tick(9)
    story.tick(9)
    assert not story.remembered.scaled_up


def test_a_write_that_another_writer_replaced_before_the_next_look_counts_as_in_the_hpa() -> None:
    """The HPA logs a change when it writes it. That the write was applied and replaced is seen by
    the generation: two writes to the spec raise it by two.
    """
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.ignores_writes = True

    def seen(generation: int) -> Fresh[Workload]:
        return Fresh(value=Workload(replicas=3, generation=generation), at=story.now)

    assert story.tick(9, workload=seen(4)).next == 7
    decision = story.tick(9, workload=seen(6))
    assert story.remembered.scaled_up == (ScaleChange(change=4, at=START),)
    assert (decision.next, codes(decision)[-1]) == (3, Code.RATE_LIMITED_UP)
    assert story.wait(59).tick(9, workload=seen(6)).next == 7


def test_a_replaced_write_downwards_counts_too() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=9)
    story.ignores_writes = True
    workload = Workload(replicas=9, generation=4)
    assert story.tick(1, workload=Fresh(value=workload, at=story.now)).next == 7
    workload = Workload(replicas=9, generation=6)
    decision = story.tick(1, workload=Fresh(value=workload, at=story.now))
    assert story.remembered.scaled_down == (ScaleChange(change=2, at=START),)
    assert (decision.next, codes(decision)[-1]) == (9, Code.RATE_LIMITED_DOWN)


def test_a_write_that_was_not_applied_does_not_count() -> None:
    story = Story(make_pool(behavior=LIMITED), replicas=3)
    story.ignores_writes = True
    for generation in (4, 5):
        workload = Workload(replicas=3, generation=generation)
        decision = story.tick(9, workload=Fresh(value=workload, at=story.now))
        assert decision.next == 7
    assert not story.remembered.scaled_up
