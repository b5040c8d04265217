"""Writes that were asked for: which of them count against the rate policies, and from when."""

from __future__ import annotations

from controller.model.memory import ScaleChange
from unit.planning.story import START, Story, behavior, make_pool, pods

LIMITED = make_pool(behavior=behavior(up=(pods(4, 60),), down_window_s=0, down=(pods(2, 60),)))


def test_a_write_that_is_seen_counts_from_when_it_was_asked_for() -> None:
    story = Story(LIMITED, 3).tell("9 : 7")
    assert not story.remembered.scaled_up
    story.tell("9 : 7")
    assert story.remembered.scaled_up == (ScaleChange(change=4, at=START),)
    assert story.remembered.asked is None


def test_a_write_that_was_refused_for_long_counts_from_when_it_is_seen() -> None:
    Story(LIMITED, 3).tell("""
        25* 9 fails : 7
        9 works : 7
        60* 12 : 7
        12 : 11""")


def test_a_write_whose_answer_was_lost_is_not_stepped_twice() -> None:
    # less is wanted then: another size is asked for, and refused as outdated; the first write is
    # seen later
    story = Story(LIMITED, 3).tell("""
        9 fails : 7
        5 : 5
        20 works size=7 : 7 rate_limited_up""")
    assert story.remembered.scaled_up[0].change == 4


def test_a_change_by_another_writer_is_not_counted() -> None:
    story = Story(LIMITED, 3).tell("""
        9 fails : 7
        9 size=5 : 9""")
    assert not story.remembered.scaled_up


def test_a_write_that_another_writer_replaced_before_the_next_look_counts_as_in_the_hpa() -> None:
    """The HPA logs a change when it writes it. That the write was applied and replaced is seen by
    the generation: two writes to the spec raise it by two.
    """
    story = Story(LIMITED, 3).tell("""
        9 generation=4 fails : 7
        9 generation=6 : 3 rate_limited_up""")
    assert story.remembered.scaled_up == (ScaleChange(change=4, at=START),)
    story.tell("9 generation=6 wait=59 : 7")
    down = Story(LIMITED, 9).tell("""
        1 generation=4 fails : 7
        1 generation=6 : 9 rate_limited_down""")
    assert down.remembered.scaled_down == (ScaleChange(change=2, at=START),)
