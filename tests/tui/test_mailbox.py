"""The mailbox keeps only the newest snapshot, and notifies once until it is taken."""

from __future__ import annotations

import sys

from agentdash.tui.leaving import Mailbox
from tui import scenarios


def test_a_slow_reader_is_notified_once_and_gets_the_newest() -> None:
    notified: list[int] = []
    box = Mailbox(lambda: notified.append(1))
    for sequence in range(100):
        box.put(scenarios.mixed_fleet(sequence))
    assert len(notified) == 1
    taken = box.take()
    assert taken is not None
    assert taken.sequence == 99
    assert box.take() is None


def test_what_a_reader_has_missed_is_not_kept() -> None:
    """A dashboard whose terminal is stopped for an hour holds one snapshot."""
    box = Mailbox(lambda: None)
    missed = [scenarios.mixed_fleet(sequence) for sequence in range(10)]
    before = [sys.getrefcount(each) for each in missed]
    for number in range(10):
        box.put(missed[number])
    box.put(scenarios.mixed_fleet(10))
    assert [sys.getrefcount(each) for each in missed] == before


def test_after_a_snapshot_was_taken_the_next_one_notifies_again() -> None:
    notified: list[int] = []
    box = Mailbox(lambda: notified.append(1))
    box.put(scenarios.mixed_fleet(1))
    box.take()
    box.put(scenarios.mixed_fleet(2))
    assert len(notified) == 2
