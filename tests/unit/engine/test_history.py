"""What is kept of a pool over time: what was seen, what was not, and in which space."""

from __future__ import annotations

import tracemalloc

from controller.engine.history import (
    DAY_SLOT_S,
    DAY_SLOTS,
    RECENT_SLOT_S,
    RECENT_SLOTS,
    HistoryRecorder,
)
from controller.model.decision import Bound, Decision
from controller.model.history import NOT_KNOWN, History
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.snapshot import PoolView

KEY = pool_key("acme", "research")
BEGIN = 1_700_000_100.0 // DAY_SLOT_S * DAY_SLOT_S


def a_view(
    pending: int | None, ready: int = 2, target: int | None = 3, key: PoolKey = KEY
) -> PoolView:
    queue: Reading[QueueDepth] = Absent(why=Why.NEVER_READ)
    if pending is not None:
        queue = Fresh(value=QueueDepth(pending=pending, in_flight=0), at=BEGIN)
    return PoolView(
        key=key,
        tenant="acme",
        tier="growth",
        namespace="acme",
        deployment="research",
        stream="TASKS",
        consumer="research",
        slots=1,
        target_per_replica=1,
        min=0,
        max=9,
        observation=PoolObservation(
            queue=queue,
            workload=Fresh(
                value=Workload(replicas=ready, ready=ready, resource_version="1"), at=BEGIN
            ),
        ),
        decision=Decision(
            pool=key,
            current=ready,
            demand=target,
            recommendation=target,
            target=target,
            next=target,
            bound=Bound.DEMAND,
            gate=None,
            reasons=(),
        ),
    )


class Recorded:
    """A recorder of one pool, and its clock."""

    def __init__(self) -> None:
        self.recorder = HistoryRecorder([KEY])
        self.now = BEGIN
        self.recorder.pass_time(self.now)

    def saw(self, pending: int | None, ready: int = 2, target: int | None = 3) -> None:
        self.recorder.saw(a_view(pending, ready, target))

    def later(self, seconds: float) -> History:
        self.now += seconds
        return self.recorder.pass_time(self.now).get(KEY, History())


def test_a_slot_has_the_most_messages_that_waited_and_the_replicas_at_its_end() -> None:
    recorded = Recorded()
    recorded.saw(4)
    recorded.saw(9, ready=2)
    recorded.saw(1, ready=5, target=6)
    recent = recorded.later(RECENT_SLOT_S).recent
    assert (recent.pending[-1], recent.ready[-1], recent.target[-1]) == (9, 5, 6)
    recent = recorded.later(RECENT_SLOT_S).recent
    assert recent.pending[-2:] == (9, 1), "the next slot begins with what waits then"
    assert len(recent.pending) == len(recent.ready) == len(recent.target) == RECENT_SLOTS


def test_what_is_not_known_is_no_zero() -> None:
    recorded = Recorded()
    assert set(recorded.later(RECENT_SLOT_S).recent.pending) == {NOT_KNOWN}
    recorded.saw(None, target=None)
    recent = recorded.later(RECENT_SLOT_S).recent
    assert set(recent.pending) == set(recent.target) == {NOT_KNOWN}
    assert recent.ready[-1] == 2


def test_slots_in_which_nobody_looked_are_not_known() -> None:
    recorded = Recorded()
    recorded.saw(4)
    recorded.later(RECENT_SLOT_S)
    recent = recorded.later(4 * RECENT_SLOT_S).recent
    assert recent.pending[-5:] == (4, 4, NOT_KNOWN, NOT_KNOWN, NOT_KNOWN)
    assert recorded.later(1e6 * RECENT_SLOT_S).recent.pending == (NOT_KNOWN,) * RECENT_SLOTS


def test_the_oldest_slot_goes_when_a_new_one_comes() -> None:
    recorded = Recorded()
    for number in range(RECENT_SLOTS + 5):
        recorded.saw(number)
        history = recorded.later(RECENT_SLOT_S)
    assert history.recent.pending == tuple(range(5, RECENT_SLOTS + 5))


def test_a_day_has_the_peaks_of_its_quarters_of_an_hour() -> None:
    recorded = Recorded()
    for number in range(3):
        recorded.saw(100 * (number + 1))
        recorded.saw(1)
        for _ in range(int(DAY_SLOT_S / RECENT_SLOT_S)):
            history = recorded.later(RECENT_SLOT_S)
    assert history.day.pending[-3:] == (100, 200, 300)
    assert len(history.day.pending) == DAY_SLOTS
    assert set(history.recent.pending) == {1, 300}


def test_the_histories_are_the_same_object_until_a_slot_ends_differently() -> None:
    recorded = Recorded()
    recorded.saw(3)
    for _ in range(RECENT_SLOTS):
        before = recorded.later(RECENT_SLOT_S)
    every = recorded.recorder.pass_time(recorded.now + 1)
    assert recorded.recorder.pass_time(recorded.now + 2) is every
    assert recorded.later(RECENT_SLOT_S) is before, "nothing happened for 15 minutes"
    assert recorded.recorder.pass_time(recorded.now) is every


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    recorded = Recorded()
    recorded.saw(3)
    before = recorded.later(RECENT_SLOT_S)
    assert recorded.later(-600.0) is before
    assert recorded.later(600.0 + RECENT_SLOT_S).recent.pending[-2:] == (3, 3)


def test_a_pool_takes_less_than_20_kb() -> None:
    keys = [pool_key("acme", f"p{number}") for number in range(50)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        recorder = HistoryRecorder(keys)
        now = BEGIN
        for tick in range(250):
            for number, key in enumerate(keys):
                recorder.saw(a_view(1_000_000 + 977 * tick + number, ready=tick, key=key))
            now += RECENT_SLOT_S if tick < 100 else DAY_SLOT_S
            recorder.pass_time(now)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used / len(keys) < 20_000
