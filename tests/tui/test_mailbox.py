"""Snapshots cross threads one at a time, the newest wins, and a slow screen queues up nothing."""

from __future__ import annotations

from agentdash.tui.mailbox import Mailbox
from tui import scenarios


def test_a_slow_reader_is_told_once_and_gets_the_newest() -> None:
    knocks: list[int] = []
    box = Mailbox(lambda: knocks.append(1))
    for sequence in range(100):
        box.put(scenarios.calm(sequence))
    assert len(knocks) == 1
    taken = box.take()
    assert taken is not None
    assert taken.sequence == 99
    assert box.take() is None


def test_after_it_was_taken_the_next_one_knocks_again() -> None:
    knocks: list[int] = []
    box = Mailbox(lambda: knocks.append(1))
    box.put(scenarios.calm(1))
    box.take()
    box.put(scenarios.calm(2))
    assert len(knocks) == 2
