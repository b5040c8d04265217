"""The election in virtual time: who may write, from when and until when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.engine.lead import LEFT_TO_OTHERS_S, UNABLE_LEAST_S, Elector, WriteRight
from controller.model.settings import RELEASED_DURATION_S, LeaseTimes
from controller.ports import StoreAwayError
from support.lease import FakeLease
from support.table import tabled
from support.virtual_loop import in_virtual_time
from support.world import VirtualClock, settle

TIMES = LeaseTimes()
DAY_S = 86_400.0


class Candidate:
    """One process in the election; it may be stopped and continued, and its wall clock skewed."""

    def __init__(
        self,
        lease: FakeLease,
        clock: VirtualClock,
        name: str,
        times: LeaseTimes = TIMES,
        *,
        skew_s: float = 0.0,
        jitter: float = 0.0,
        interval_s: float = 1.0,
    ) -> None:
        self.name = name
        self.right = WriteRight(clock.now)
        self.elector = Elector(
            lease,
            name,
            times,
            self.right,
            SkewedClock(clock, skew_s),
            interval_s=interval_s,
            random=lambda: jitter,
        )
        self.heard: list[bool] = []
        self.elector.on_change(self.heard.append)
        self._running: asyncio.Task[None] | None = None

    @property
    def writes(self) -> bool:
        return self.elector.may_write()

    def start(self) -> None:
        self._running = asyncio.create_task(self.elector.run())

    async def kill(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait({self._running})

    async def stop(self) -> None:
        await self.kill()
        await self.elector.release()


class SkewedClock:
    """The same time with a wrong wall clock."""

    def __init__(self, clock: VirtualClock, skew_s: float) -> None:
        self._clock = clock
        self._skew_s = skew_s

    def now(self) -> float:
        return self._clock.now() + self._skew_s

    def follow_step(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.lease = FakeLease()
        self.candidates: list[Candidate] = []

    async def join(self, name: str, times: LeaseTimes = TIMES, **options: float) -> Candidate:
        candidate = Candidate(self.lease, self.clock, name, times, **options)
        self.candidates.append(candidate)
        candidate.start()
        await settle()
        return candidate

    def writers(self) -> list[str]:
        return [each.name for each in self.candidates if each.writes]

    async def first_writer_after(self, limit_s: float, step_s: float = 0.05) -> float:
        """Seconds until somebody may write; never two at once."""
        began = self.clock.now()
        while self.clock.now() - began <= limit_s:
            await self.clock.advance(step_s)
            assert len(self.writers()) <= 1
            if self.writers():
                return self.clock.now() - began
        raise AssertionError(f"nobody may write after {limit_s} s")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    yield found
    for each in found.candidates:
        await each.kill()


class SlowLease(FakeLease):
    """Each answer takes so long, by the event loop's clock."""

    def __init__(self, answer_s: float) -> None:
        super().__init__()
        self._answer_s = answer_s

    async def _request(self, kind: str) -> None:
        await asyncio.sleep(self._answer_s)
        await super()._request(kind)


class LoopClock:
    """The time of the event loop."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def follow_step(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@asynccontextmanager
async def without_answers(lease: FakeLease) -> AsyncIterator[None]:
    lease.error = StoreAwayError("the lease: connection refused")
    yield
    lease.error = None


async def test_the_first_takes_a_lease_that_does_not_exist_and_the_second_follows(
    world: World,
) -> None:
    await world.join("one")
    two = await world.join("two")
    for _ in range(600):
        await world.clock.advance(0.5)
        assert world.writers() == ["one"]
    assert two.elector.view().holder == "one"
    assert not two.elector.view().is_ours
    assert {record.holder for record in world.lease.records} == {"one"}
    assert world.lease.records[0].acquired_at == world.lease.records[-1].acquired_at


@pytest.mark.parametrize("jitter", [0.0, 1.0])
@pytest.mark.parametrize("killed_after_s", [0.0, 0.1, 1.0, 1.9, 2.1])
async def test_after_a_kill_the_next_leads_within_the_duration_of_the_lease(
    world: World, jitter: float, killed_after_s: float
) -> None:
    one = await world.join("one", jitter=jitter)
    await world.join("two", jitter=jitter)
    await world.clock.advance(30.0 + killed_after_s)
    renewed_at = world.lease.records[-1].renewed_at
    await one.kill()
    one.right.end()  # the process is gone
    await world.first_writer_after(TIMES.duration_s + 0.1)
    assert world.clock.now() - renewed_at >= TIMES.duration_s - 0.05
    assert world.lease.records[-1].transitions == 1


async def test_without_events_of_changes_the_next_leads_one_retry_later(world: World) -> None:
    world.lease.silent = True
    one = await world.join("one")
    await world.join("two")
    await world.clock.advance(31.0)
    await one.kill()
    one.right.end()
    took_s = await world.first_writer_after(TIMES.duration_s + TIMES.retry_s)
    assert took_s <= TIMES.duration_s + TIMES.retry_s


async def test_a_stopped_process_that_continues_may_not_write_before_it_has_renewed(
    world: World,
) -> None:
    one = await world.join("one")
    await world.clock.advance(5.0)
    assert one.writes
    world.lease.gate = asyncio.Event()  # it is stopped: nothing of it runs, but time passes
    await world.clock.advance(20.0)
    assert not one.writes
    world.lease.gate.set()
    world.lease.gate = None
    await world.clock.advance(TIMES.retry_s)
    assert one.writes


async def test_the_right_to_write_ends_so_early_that_a_write_ends_before_others_may_lead(
    world: World,
) -> None:
    one = await world.join("one")
    await world.join("two")
    await world.clock.advance(20.0)
    renewed_at = world.lease.records[-1].renewed_at
    await one.kill()
    last_right = renewed_at + TIMES.renew_deadline_s - TIMES.write_s
    await world.clock.advance(last_right - world.clock.now() - 0.01)
    assert one.writes
    await world.clock.advance(0.01)
    assert not one.writes
    await world.first_writer_after(TIMES.duration_s)
    assert world.clock.now() - last_right >= TIMES.write_s


@pytest.mark.parametrize("lost", [1, 2, 5])
async def test_some_lost_renewals_do_not_end_the_right(world: World, lost: int) -> None:
    one = await world.join("one")
    await world.clock.advance(2 * TIMES.retry_s)
    world.lease.lost_replies = lost
    for _ in range(60):
        await world.clock.advance(0.1)
        assert one.writes
    assert one.heard == [True]
    assert one.elector.view().problem == ""


async def test_while_the_store_is_away_the_right_ends_and_comes_back_without_a_new_election(
    world: World,
) -> None:
    one = await world.join("one")
    await world.clock.advance(10.0)
    async with without_answers(world.lease):
        await world.clock.advance(6.0)
        assert not one.writes
        assert one.elector.view().problem == "the lease: connection refused"
        asked = len(world.lease.requests)
        await world.clock.advance(60.0)
        assert len(world.lease.requests) - asked <= 31  # not more often than usual
    await world.clock.advance(3.0)
    assert one.writes
    assert one.heard == [True]


async def test_who_was_cut_off_while_another_led_and_gave_the_lease_back_is_elected_anew(
    world: World,
) -> None:
    one = await world.join("one")
    await world.clock.advance(10.0)
    async with without_answers(world.lease):
        await world.clock.advance(30.0)
        assert world.lease.now is not None
        world.lease.damage("", RELEASED_DURATION_S, world.lease.now.transitions + 1, "given back")
    await world.clock.advance(3.0)
    assert one.writes
    assert one.heard == [True, False, True]


@in_virtual_time
async def test_a_lease_whose_answers_take_most_of_their_time_is_taken_kept_and_taken_again() -> (
    None
):
    lease, right = SlowLease(0.7 * TIMES.request_s), WriteRight(LoopClock().now)
    elector = Elector(lease, "one", TIMES, right, LoopClock(), random=lambda: 0.0)
    running = asyncio.create_task(elector.run())
    await asyncio.sleep(2 * TIMES.request_s)
    for _ in range(100):
        assert right.may_write()
        await asyncio.sleep(0.5)
    lease.lost_replies = 1
    await asyncio.sleep(2 * TIMES.renew_deadline_s)
    assert right.may_write()
    running.cancel()
    await asyncio.wait({running})


BLIND = "no queue can be read: disconnected"


async def test_a_leader_that_cannot_decide_gives_the_lease_to_one_that_can(world: World) -> None:
    one = await world.join("one")
    two = await world.join("two")
    await world.clock.advance(20.0)
    one.elector.unable(BLIND)
    await world.clock.advance(UNABLE_LEAST_S - 0.1)
    assert world.writers() == ["one"]
    await world.clock.advance(TIMES.retry_s + 0.2)
    assert world.writers() == ["two"]
    assert (one.heard, two.heard) == ([True, False], [True])
    one.elector.unable("")
    await world.clock.advance(120.0)
    assert world.writers() == ["two"], "it is not taken back"


async def test_a_moment_without_sight_changes_nothing(world: World) -> None:
    one = await world.join("one")
    await world.join("two")
    for _ in range(20):
        one.elector.unable(BLIND)
        await world.clock.advance(UNABLE_LEAST_S - 1.0)
        one.elector.unable("")
        await world.clock.advance(1.0)
        assert world.writers() == ["one"]


async def test_slow_ticks_are_given_three_intervals(world: World) -> None:
    one = Candidate(world.lease, world.clock, "one", interval_s=10.0)
    world.candidates.append(one)
    one.start()
    await settle()
    one.elector.unable(BLIND)
    await world.clock.advance(29.0)
    assert one.writes
    await world.clock.advance(TIMES.retry_s + 1.0)
    assert not one.writes


async def test_the_only_process_leads_again_as_soon_as_it_can_decide(world: World) -> None:
    one = await world.join("one")
    await world.clock.advance(20.0)
    one.elector.unable(BLIND)
    await world.clock.advance(10.0)
    assert not one.writes
    assert world.lease.now is not None
    assert world.lease.now.is_released
    one.elector.unable("")
    await settle()
    assert one.writes
    assert one.heard == [True, False, True]


async def test_a_lease_that_none_can_use_is_left_to_others_for_half_a_minute(world: World) -> None:
    one = await world.join("one")
    two = await world.join("two")
    await world.clock.advance(20.0)
    one.elector.unable(BLIND)
    two.elector.unable(BLIND)
    gave_up = UNABLE_LEAST_S + TIMES.retry_s
    await world.clock.advance(gave_up)
    for _ in range(int(LEFT_TO_OTHERS_S - gave_up)):
        assert world.writers() == []
        await world.clock.advance(1.0)
    await world.first_writer_after(gave_up + 2 * TIMES.retry_s)


async def test_while_none_can_decide_the_first_that_can_leads_at_once(world: World) -> None:
    one = await world.join("one")
    two = await world.join("two")
    one.elector.unable(BLIND)
    two.elector.unable(BLIND)
    await world.clock.advance(15.0)
    two.elector.unable("")
    await settle()
    assert world.writers() == ["two"]


async def test_a_lease_that_cannot_be_given_back_is_no_longer_used(world: World) -> None:
    one = await world.join("one")
    await world.join("two")
    await world.clock.advance(20.0)
    one.elector.unable(BLIND)
    async with without_answers(world.lease):
        await world.clock.advance(UNABLE_LEAST_S + TIMES.retry_s)
        assert not one.writes
    await world.clock.advance(TIMES.retry_s)
    assert world.writers() == ["two"]


@pytest.mark.parametrize("skew_s", [DAY_S, -DAY_S])
async def test_clocks_of_others_do_not_matter(world: World, skew_s: float) -> None:
    one = await world.join("one", skew_s=skew_s)
    await world.join("two")
    await world.clock.advance(100.0)
    assert world.writers() == ["one"]
    await one.kill()
    one.right.end()
    took_s = await world.first_writer_after(TIMES.duration_s + TIMES.retry_s)
    assert took_s >= TIMES.duration_s - TIMES.retry_s - 0.1


async def test_a_follower_waits_for_the_longer_duration_of_the_leader(world: World) -> None:
    slow = LeaseTimes(duration_s=60.0, renew_deadline_s=40.0, retry_s=10.0)
    one = await world.join("one", slow)
    await world.join("two")
    await world.clock.advance(100.0)
    await one.kill()
    one.right.end()
    assert await world.first_writer_after(61.0) >= 49.0


async def test_a_holder_that_nobody_knows_is_waited_for_and_then_replaced(world: World) -> None:
    one = await world.join("one")
    await world.join("two")
    await world.clock.advance(10.0)
    world.lease.damage(holder="a person", duration_s=1e9, stamp="2099-01-01")
    await world.clock.advance(TIMES.retry_s)
    assert world.writers() == []
    assert one.heard == [True, False]
    await world.clock.advance(TIMES.duration_s)
    assert world.writers() == []
    await world.first_writer_after(300.0)


async def test_labels_and_annotations_of_the_lease_do_not_count_as_renewals(world: World) -> None:
    one = await world.join("one")
    await world.join("two")
    await world.clock.advance(10.0)
    await one.kill()
    one.right.end()
    for _ in range(8):
        await world.clock.advance(1.0)
        last = world.lease.now
        assert last is not None
        world.lease.damage(last.holder, last.duration_s, last.transitions, last.stamp)
    await world.first_writer_after(TIMES.duration_s - 7.0)


async def test_a_conflict_that_never_ends_is_not_asked_faster_than_usual(world: World) -> None:
    one = await world.join("one")
    await world.join("two")
    await world.clock.advance(10.0)
    world.lease.requests.clear()
    for _ in range(100):
        await world.clock.advance(0.3)
        last = world.lease.now
        assert last is not None
        world.lease.silent = True
        world.lease.damage(last.holder, last.duration_s, last.transitions, last.stamp)
    assert len(world.lease.requests) <= 30 / TIMES.retry_s * 6
    assert one.heard == [True]


async def test_release_after_a_lost_reply_still_gives_the_lease_back(world: World) -> None:
    one = await world.join("one")
    await world.clock.advance(3.0)
    await one.kill()
    last = world.lease.now
    assert last is not None
    world.lease.damage(last.holder, last.duration_s, last.transitions, "renewed, answer lost")
    await one.elector.release()
    assert world.lease.now is not None
    assert world.lease.now.is_released


def test_the_default_times_are_those_of_kubernetes_and_fit_each_other() -> None:
    assert (TIMES.duration_s, TIMES.renew_deadline_s, TIMES.retry_s) == (15.0, 10.0, 2.0)
    assert (TIMES.write_s, TIMES.right_s) == (5.0, 5.0)
    assert TIMES.problem() is None


@tabled(
    ("times", "words"),
    [
        ((10.0, 10.0, 2.0), "duration (10s) must be at least 1s more than renew_deadline (10s)"),
        ((15.0, 14.5, 2.0), "duration (15s) must be at least 1s more"),
        ((15.0, 10.0, 5.0), "retry (5s) is too long for renew_deadline (10s): it must be below"),
        ((15.0, 2.0, 1.0), "below 0.833s"),
    ],
)
def test_times_that_do_not_fit_each_other_are_named(
    times: tuple[float, float, float], words: str
) -> None:
    duration_s, deadline_s, retry_s = times
    problem = LeaseTimes(
        duration_s=duration_s, renew_deadline_s=deadline_s, retry_s=retry_s
    ).problem()
    assert problem is not None
    assert words in problem
