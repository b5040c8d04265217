"""What is kept of a pool over time: what was seen, what was not, and in which space."""

from __future__ import annotations

import tracemalloc

from msgspec.structs import replace

from controller.engine.show.past import (
    DAY_SLOT_S,
    DAY_SLOTS,
    RECENT_SLOT_S,
    RECENT_SLOTS,
    HistoryRecorder,
)
from controller.model.decision import Bound, Decision
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import (
    ModelTokens,
    PoolObservation,
    QueueDepth,
    TokensByModel,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.snapshot import (
    NOT_KNOWN,
    History,
    PoolView,
    Snapshot,
    TenantTokens,
    TenantView,
    Timeline,
    TokenState,
)
from support.world import a_view, make_pool
from tui import scenarios

KEY = pool_key("acme", "research")
BEGIN = 1_700_000_100.0 // DAY_SLOT_S * DAY_SLOT_S


def shown_as(
    pending: int | None, ready: int = 2, target: int | None = 3, key: PoolKey = KEY
) -> PoolView:
    queue: Reading[QueueDepth] = Absent(why=Why.NEVER_READ)
    if pending is not None:
        queue = Fresh(value=QueueDepth(pending=pending, in_flight=0), at=BEGIN)
    return a_view(
        make_pool(key.partition("/")[2]),
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

    def saw(
        self,
        pending: int | None,
        ready: int = 2,
        target: int | None = 3,
        oldest_at: float | None = None,
    ) -> None:
        self.recorder.saw(shown_as(pending, ready, target), oldest_at, self.now)

    def later(self, seconds: float) -> History:
        self.now += seconds
        return self.recorder.pass_time(self.now).pools.get(KEY, History())


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
    assert set(recorded.later(RECENT_SLOT_S).recent.pending) <= {NOT_KNOWN}
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
    every = recorded.recorder.pass_time(recorded.now + 1).pools
    assert recorded.recorder.pass_time(recorded.now + 2).pools is every
    assert recorded.later(RECENT_SLOT_S) is before, "nothing happened for 15 minutes"
    assert recorded.recorder.pass_time(recorded.now).pools is every


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    recorded = Recorded()
    recorded.saw(3)
    before = recorded.later(RECENT_SLOT_S)
    assert recorded.later(-600.0) is before
    assert recorded.later(600.0 + RECENT_SLOT_S).recent.pending[-2:] == (3, 3)


def test_the_wait_of_a_slot_is_the_longest_that_a_message_had_waited_in_it() -> None:
    recorded = Recorded()
    recorded.saw(5, oldest_at=BEGIN)
    recorded.now += 9
    recorded.saw(2, oldest_at=BEGIN + 8)
    assert recorded.later(6).recent.wait_s[-1] == 7, "at its end, the oldest waits for 7 s"
    assert recorded.later(RECENT_SLOT_S).recent.wait_s[-1] == 22
    recorded.saw(0)
    assert recorded.later(RECENT_SLOT_S).recent.wait_s[-1] == 22, "it waited until the slot began"
    assert recorded.later(RECENT_SLOT_S).recent.wait_s[-1] == 0


def test_a_wait_that_is_not_known_is_no_zero() -> None:
    recorded = Recorded()
    recorded.saw(3)
    assert recorded.later(RECENT_SLOT_S).recent.wait_s[-1] == NOT_KNOWN
    recorded.saw(None)
    assert recorded.later(RECENT_SLOT_S).recent.wait_s[-1] == NOT_KNOWN


def a_tenant(burn: float | None, *, is_old: bool = False) -> TenantView:
    tokens = TenantTokens(
        cap=1000, state=TokenState.OK, resets_at=0.0, burn_per_minute=burn, is_old=is_old
    )
    used = None if burn is None else TokensByModel(models=(), per_minute=round(burn), is_old=is_old)
    view = TenantView(name="acme", tier="growth", namespace="acme", pools=1, tokens=tokens)
    return replace(view, by_model=used)


def test_a_tenant_has_the_fastest_pace_of_each_slot() -> None:
    recorder = HistoryRecorder([KEY], ["acme"])
    recorder.pass_time(BEGIN)
    for burn in (400.4, 2100.0, 30.0):
        recorder.saw_tenants((a_tenant(burn),))
    recent = recorder.pass_time(BEGIN + RECENT_SLOT_S).tenants["acme"].recent
    assert (recent.tokens[-1], recent.pending) == (2100, ())
    recorder.saw_tenants((a_tenant(90.0, is_old=True),))
    recent = recorder.pass_time(BEGIN + 2 * RECENT_SLOT_S).tenants["acme"].recent
    assert recent.tokens[-2:] == (2100, 30)
    recent = recorder.pass_time(BEGIN + 3 * RECENT_SLOT_S).tenants["acme"].recent
    assert recent.tokens[-1] == NOT_KNOWN, "the last word of a silent ledger is no pace"


def test_a_tenant_without_a_budget_has_the_pace_of_all_its_tokens() -> None:
    recorder = HistoryRecorder([KEY], ["acme"])
    recorder.pass_time(BEGIN)
    models = (ModelTokens(model="demo", input=7),)
    free = replace(a_tenant(None), tokens=None)
    used = replace(free, by_model=TokensByModel(models=models, per_minute=840))
    recorder.saw_tenants((used,))
    recent = recorder.pass_time(BEGIN + RECENT_SLOT_S).tenants["acme"].recent
    assert recent.tokens[-1] == 840
    recorder.saw_tenants((replace(used, by_model=replace(used.by_model, is_old=True)),))
    recorder.pass_time(BEGIN + 2 * RECENT_SLOT_S)
    recent = recorder.pass_time(BEGIN + 3 * RECENT_SLOT_S).tenants["acme"].recent
    assert recent.tokens[-1] == NOT_KNOWN


def test_a_pool_takes_less_than_20_kb() -> None:
    keys = [pool_key("acme", f"p{number}") for number in range(50)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        recorder = HistoryRecorder(keys)
        now = BEGIN
        for tick in range(250):
            for number, key in enumerate(keys):
                view = shown_as(
                    1_000_000 + 977 * tick + number, ready=tick, target=2 * tick, key=key
                )
                recorder.saw(view, now - 100_000 - 3 * tick - number, now)
            now += RECENT_SLOT_S if tick < 100 else DAY_SLOT_S
            recorder.pass_time(now)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used / len(keys) < 20_000


def a_past(at: float, history: History) -> Snapshot:
    return replace(scenarios.mixed_fleet(), at=at, histories={KEY: history}, tenant_histories={})


def test_what_another_process_left_fills_what_is_not_known_here() -> None:
    first, second = HistoryRecorder([KEY]), HistoryRecorder([KEY])
    first.pass_time(BEGIN)
    for slot in range(1, 5):
        first.saw(shown_as(10 * slot), BEGIN, BEGIN)
        left = first.pass_time(BEGIN + slot * RECENT_SLOT_S).pools[KEY]
    past = a_past(BEGIN + 4 * RECENT_SLOT_S, left)
    second.begin_with(past, BEGIN + 6 * RECENT_SLOT_S + 1)
    second.saw(shown_as(7), BEGIN, BEGIN)
    found = second.pass_time(BEGIN + 7 * RECENT_SLOT_S).pools[KEY]
    assert found.recent.pending[-7:] == (10, 20, 30, 40, NOT_KNOWN, NOT_KNOWN, 7)
    # the slot of 15 minutes that both saw a part of has the most of both
    second.saw(shown_as(0), BEGIN, BEGIN)
    assert second.pass_time(BEGIN + DAY_SLOT_S).pools[KEY].day.pending[-1] == 40


def test_a_history_with_numbers_that_cannot_be_or_of_a_later_time_is_not_taken() -> None:
    recorder = HistoryRecorder([KEY])
    absurd = History(recent=Timeline(pending=(2**40, -7, 5)))
    recorder.begin_with(a_past(BEGIN + 3600, absurd), BEGIN)
    assert recorder.pass_time(BEGIN).pools == {}
    recorder.begin_with(a_past(BEGIN, absurd), BEGIN)
    recent = recorder.pass_time(BEGIN).pools[KEY].recent
    assert recent.pending[-3:] == (NOT_KNOWN, NOT_KNOWN, 5)
    assert recent.ready == (NOT_KNOWN,) * RECENT_SLOTS
