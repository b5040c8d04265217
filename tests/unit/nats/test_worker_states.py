"""Who is remembered of the workers, and for how long, whatever becomes of their bucket."""

from __future__ import annotations

import msgspec

from controller.model.ids import PoolKey
from controller.model.worker_messages import GONE_AFTER_S, MARK_LENGTH, MOST_MARKS, WorkerState
from controller.nats.bucket import Bucket, BucketEntry
from controller.nats.jetstream import NatsDisconnectedError
from controller.nats.workers import MOST_STATE_BYTES, WorkerStates
from support.table import tabled
from support.world import VirtualClock
from tests.unit.nats.fake_nats import FakeNats

POOL = PoolKey("acme/research")
KEY = "acme.research.pod.with.dots"


def entry(value: bytes | None = None, *, deleted: bool = False) -> BucketEntry:
    state = WorkerState(worker="pod.with.dots", slots=1, busy=1, pulling=True)
    body = msgspec.json.encode(state) if value is None else value
    return BucketEntry(key=KEY, value=body, revision=1, at=0.0, deleted=deleted)


class Heard:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.changes: list[tuple[PoolKey, bool]] = []
        nats = FakeNats(lambda *_: b"")
        bucket = Bucket(nats, "workers")  # type: ignore[arg-type]  # nothing is asked
        self.states = WorkerStates(
            nats,  # type: ignore[arg-type]
            bucket,
            self.clock,
            lambda *change: self.changes.append(change),
        )

    async def after(self, seconds: float) -> list[str]:
        await self.clock.advance(seconds)
        self.states.expire()
        return sorted(self.states.of(POOL))


async def test_a_worker_that_says_nothing_any_longer_is_forgotten() -> None:
    heard = Heard()
    heard.states.found({KEY: entry()}, is_another=False)
    assert await heard.after(GONE_AFTER_S - 1) == ["pod.with.dots"]
    heard.states.changed(entry())
    assert await heard.after(GONE_AFTER_S - 1) == ["pod.with.dots"]
    assert await heard.after(1) == []
    assert heard.changes[-1] == (POOL, True)


async def test_nobody_is_forgotten_while_nobody_can_be_heard() -> None:
    heard = Heard()
    heard.states.found({KEY: entry()}, is_another=False)
    heard.states.lost(NatsDisconnectedError("no connection"))
    assert await heard.after(10 * GONE_AFTER_S) == ["pod.with.dots"]
    heard.states.found({}, is_another=False)
    assert await heard.after(GONE_AFTER_S - 1) == ["pod.with.dots"], "the bucket was lost, not it"
    assert await heard.after(1) == []


async def test_a_clock_that_is_set_ahead_makes_nobody_silent() -> None:
    heard = Heard()
    heard.states.found({KEY: entry()}, is_another=False)
    heard.clock.step(3600.0)
    heard.clock.follow_step()
    assert await heard.after(GONE_AFTER_S - 1) == ["pod.with.dots"]
    assert await heard.after(1) == []


def test_a_worker_that_says_that_it_ends_is_forgotten_at_once() -> None:
    heard = Heard()
    heard.states.found({KEY: entry()}, is_another=False)
    heard.states.changed(entry(b"", deleted=True))
    assert heard.states.of(POOL) == {}


@tabled(
    "said",
    [
        b'{"busy": -1}',
        b"\xff",
        b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"x": "' + b"x" * MOST_STATE_BYTES + b'"}',
    ],
    ids=["odd", "no text", "nested", "long"],
)
def test_a_worker_that_cannot_be_understood_counts_as_busy(said: bytes) -> None:
    heard = Heard()
    heard.states.changed(entry(said))
    [state] = heard.states.of(POOL).values()
    assert (state.worker, state.busy, state.pulling) == ("pod.with.dots", 1, True)


def test_a_worker_cannot_speak_for_another() -> None:
    heard = Heard()
    other = WorkerState(worker="other", slots=1, busy=0, pulling=False)
    heard.states.changed(entry(msgspec.json.encode(other)))
    assert [state.worker for state in heard.states.of(POOL).values()] == ["pod.with.dots"]


def test_a_key_that_is_no_workers_is_passed_over() -> None:
    heard = Heard()
    heard.states.changed(msgspec.structs.replace(entry(), key="acme.research"))
    assert heard.changes == []


def test_the_steps_of_a_workers_start_are_cleaned_sorted_and_few() -> None:
    heard = Heard()
    marks = {f"step {number}": 1000.0 - number for number in range(MOST_MARKS + 5)}
    state = WorkerState(
        worker="pod.with.dots",
        slots=1,
        busy=0,
        pulling=True,
        marks=marks | {"\x1b[31mred": 10.0, "never": 1e300, "x" * 90: 11.0},
    )
    heard.states.changed(entry(msgspec.json.encode(state)))
    [found] = heard.states.of(POOL).values()
    assert len(found.marks) == MOST_MARKS
    first, second, third, *_ = found.marks.items()
    assert first == ("�[31mred", 10.0)
    assert (len(second[0]), second[1]) == (MARK_LENGTH, 11.0)
    assert third == (f"step {MOST_MARKS + 4}", 1000.0 - MOST_MARKS - 4)
