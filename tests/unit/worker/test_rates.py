"""A worker's share of a provider's limits, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentdash.demo.agents import ModelAdmission, ProviderModel
from agentdash.worker.limits import (
    HALVED,
    LATE_S,
    LEAST_PACE,
    LONGEST_RETRY_AFTER_S,
    LeakyBucket,
    ModelGate,
)
from controller.model.worker_messages import RateShare, UsedTokens
from support.virtual_loop import in_virtual_time

NOTHING = UsedTokens()


def tokens(into: int = 0, out: int = 0) -> UsedTokens:
    return UsedTokens(input=into, output=out)


class Clients:
    """Clients that call again and again, and when each call started (seconds from the start)."""

    def __init__(self, gate: ModelGate, *, took_s: float = 0.0) -> None:
        self.gate, self.took_s = gate, took_s
        self.began_at = asyncio.get_running_loop().time()
        self.started: list[float] = []

    def now(self) -> float:
        return asyncio.get_running_loop().time() - self.began_at

    async def call(self, estimate: UsedTokens = NOTHING, used: UsedTokens | None = None) -> None:
        async with self.gate.call(estimate) as call:
            self.started.append(self.now())
            await asyncio.sleep(self.took_s)
            call.settle(estimate if used is None else used)

    async def keep_calling(self, seconds: float, estimate: UsedTokens = NOTHING) -> None:
        async def forever() -> None:
            while True:
                await self.call(estimate)

        clients = [asyncio.create_task(forever()) for _ in range(3)]
        await asyncio.sleep(seconds)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


@pytest.mark.parametrize(
    ("share", "seconds", "estimate", "took_s", "started"),
    [
        (RateShare(requests_per_minute=6), 59, NOTHING, 0, [0, 10, 20, 30, 40, 50]),
        # a burst starts at once after a pause
        (RateShare(requests_per_minute=60, burst=3), 2.5, NOTHING, 0, [0, 0, 0, 1, 2]),
        # output is scarce: 10 tokens a second flow, and a call takes 50
        (
            RateShare(input_tokens_per_minute=60_000, output_tokens_per_minute=600),
            16,
            tokens(100, 50),
            0,
            [0, 0, 5, 10, 15],
        ),
        # input and output share one limit
        (RateShare(tokens_per_minute=6_000), 11, tokens(400, 600), 0, [0, 10]),
        (RateShare(parallel=2), 7, NOTHING, 4, [0, 0, 4, 4]),
    ],
    ids=["requests", "burst", "tokens of a kind", "tokens of both kinds", "parallel"],
)
@in_virtual_time
async def test_calls_are_spread_as_their_share_allows(
    share: RateShare, seconds: float, estimate: UsedTokens, took_s: float, started: list[float]
) -> None:
    clients = Clients(ModelGate("gpt", share), took_s=took_s)
    await clients.keep_calling(seconds, estimate)
    assert clients.started == pytest.approx(started)


@in_virtual_time
async def test_refused_calls_are_reported_for_as_long_as_they_are_recent() -> None:
    gate = ModelGate("gpt", RateShare(requests_per_minute=60_000))
    for _ in range(3):
        async with gate.call(NOTHING) as call:
            call.refused(0.0)
    reported = []
    for _ in range(3):
        reported.append(gate.demand().refused_per_minute)
        await asyncio.sleep(19)
    gate.close()
    # three in 20 seconds are nine a minute, in coarse steps
    assert reported == [10.0, 10.0, 0.0]


@in_virtual_time
async def test_a_call_larger_than_the_bucket_waits_for_a_full_one() -> None:
    clients = Clients(ModelGate("gpt", RateShare(tokens_per_minute=6_000)))
    await clients.call(tokens(500))
    await clients.call(tokens(1_000_000))
    assert clients.now() == pytest.approx(5)


@pytest.mark.parametrize(
    ("before", "changed_at", "after", "calls", "took_s"),
    [
        (RateShare(parallel=0), 9, RateShare(parallel=1), 1, 9),
        # after 15 s a quarter of a request has flowed; the rest comes at one a second
        (RateShare(requests_per_minute=1), 15, RateShare(requests_per_minute=60), 2, 15.75),
    ],
    ids=["parallel", "requests"],
)
@in_virtual_time
async def test_a_new_share_counts_for_calls_that_wait_already(
    before: RateShare, changed_at: float, after: RateShare, calls: int, took_s: float
) -> None:
    gate = ModelGate("gpt", before)
    clients = Clients(gate)
    asyncio.get_running_loop().call_later(changed_at, gate.hold_to, after)
    for _ in range(calls):
        await clients.call()
    assert clients.now() == pytest.approx(took_s)


@in_virtual_time
async def test_a_cancelled_caller_leaves_the_queue_and_takes_nothing() -> None:
    clients = Clients(ModelGate("gpt", RateShare(requests_per_minute=6)))
    await clients.call()
    waiting = [asyncio.create_task(clients.call()) for _ in range(3)]
    await asyncio.sleep(1)
    for each in waiting:
        each.cancel()
    await clients.call()
    assert clients.now() == pytest.approx(10)


async def refuse(gate: ModelGate, retry_after_s: float | None, *, after_s: float = 0.0) -> None:
    async with gate.call(NOTHING) as call:
        await asyncio.sleep(after_s)
        call.refused(retry_after_s)


@in_virtual_time
async def test_a_refusal_pauses_halves_the_rate_and_the_rate_creeps_back() -> None:
    gate = ModelGate("gpt", RateShare(requests_per_minute=60))
    clients = Clients(gate)
    await refuse(gate, 3.0)
    await clients.keep_calling(6.9)
    paces = [gate.pace]
    await asyncio.sleep(40)
    started, later = [*clients.started, *paces], gate.pace
    # nothing for 3 s, in which one request flows at half the rate; then the rate grows
    assert started[0] == pytest.approx(3.0)
    assert started[1] == pytest.approx(4.75, abs=0.11)
    assert started[-1] == pytest.approx(0.7)
    assert later == 1.0


@in_virtual_time
async def test_a_refusal_without_a_time_or_with_an_absurd_one_has_a_bounded_pause() -> None:
    gate = ModelGate("gpt", RateShare(requests_per_minute=6000))
    clients = Clients(gate)
    for retry_after_s in (None, -5.0, 1e9):
        await refuse(gate, retry_after_s)
        await clients.call()
    first, second, third = clients.started
    assert first == pytest.approx(1.0)
    assert second - first < 0.1
    assert third - second == pytest.approx(LONGEST_RETRY_AFTER_S, abs=0.2)


class Provider:
    """The demo's provider in virtual time, and clients that call it without end."""

    def __init__(self, requests_per_minute: float, burst: int = 1) -> None:
        self.model = ModelAdmission(
            ProviderModel(name="gpt", requests_per_minute=requests_per_minute, burst=burst)
        )

    async def ask(self, gate: ModelGate) -> None:
        async with gate.call(NOTHING) as call:
            wait_s = self.model.enter(asyncio.get_running_loop().time())
            await asyncio.sleep(0.05)
            if wait_s is not None:
                call.refused(wait_s)

    async def be_asked(self, gate: ModelGate, seconds: float, clients: int = 50) -> tuple[int, int]:
        """The calls that were admitted and refused meanwhile."""
        before = self.model.admitted, self.model.refused

        async def forever() -> None:
            while True:
                await self.ask(gate)

        tasks = [asyncio.create_task(forever()) for _ in range(clients)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self.model.admitted - before[0], self.model.refused - before[1]


@pytest.mark.parametrize("limit", [6, 60, 600])
@in_virtual_time
async def test_a_worker_that_knows_no_share_finds_the_limit_with_few_refusals(limit: int) -> None:
    gate, provider = ModelGate("gpt", None), Provider(limit)
    _, refused = await provider.be_asked(gate, 120)
    admitted, refused_later = await provider.be_asked(gate, 600)
    gate.close()
    # a refusal takes 50 ms, in which calls at the same rate set out
    assert refused <= 6 + 0.005 * limit
    assert admitted >= 0.5 * limit * 10
    assert refused_later <= 12 + 0.01 * limit + 1


@in_virtual_time
async def test_a_cautious_worker_does_not_grow_faster_than_its_calls_need() -> None:
    gate = ModelGate("gpt", None)
    clients = Clients(gate)
    for _ in range(5):
        await clients.call()
        await asyncio.sleep(10)
    paces = [gate.pace]
    await clients.keep_calling(30)
    gate.close()
    idle, busy = [*paces, gate.pace]
    assert idle == 1.0
    assert busy >= 16


@in_virtual_time
async def test_a_share_ends_caution() -> None:
    gate = ModelGate("gpt", None)
    clients = Clients(gate)
    asyncio.get_running_loop().call_later(1.5, gate.hold_to, RateShare())
    await asyncio.wait_for(clients.keep_calling(1.49), 2)
    slow = len(clients.started)
    await asyncio.sleep(0.1)
    await asyncio.gather(*(clients.call() for _ in range(100)))
    assert [slow, clients.now()] == pytest.approx([2, 1.59])


@in_virtual_time
async def test_where_no_limit_is_known_a_refusal_halves_the_rate_that_was_reached() -> None:
    gate, provider = ModelGate("gpt", RateShare()), Provider(600, burst=2000)
    # 100 calls a second, until the burst is used up
    for _ in range(2000):
        await asyncio.gather(provider.ask(gate), asyncio.sleep(0.01))
    admitted, refused = await provider.be_asked(gate, 60, clients=5)
    gate.close()
    assert admitted >= 0.5 * 600
    assert refused <= 15


@in_virtual_time
async def test_after_a_storm_of_refusals_the_share_is_used_again_within_20_seconds() -> None:
    gate = ModelGate("gpt", RateShare(requests_per_minute=600))
    for _ in range(8):
        await refuse(gate, 0.1)
    slow = gate.pace
    clients = Clients(gate)
    await clients.keep_calling(30)
    gate.close()
    assert slow < 0.1
    assert sum(20 <= at < 30 for at in clients.started) >= 0.9 * 100


@in_virtual_time
async def test_where_the_limit_is_below_the_share_few_calls_find_out() -> None:
    gate, provider = ModelGate("gpt", RateShare(requests_per_minute=600)), Provider(480)
    admitted, refused = await provider.be_asked(gate, 600)
    gate.close()
    assert admitted >= 0.7 * 4800
    assert refused <= 0.01 * admitted


@settings(max_examples=20)
@given(
    st.integers(1, 300),
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(0.1, 40), st.booleans()), max_size=5),
)
@in_virtual_time
async def test_the_pace_is_halved_once_by_each_refusal_and_comes_back_to_the_share_and_never_above(
    per_minute: int, burst: int, days: list[tuple[float, bool]]
) -> None:
    gate = ModelGate("gpt", RateShare(requests_per_minute=per_minute, burst=burst))
    clients = Clients(gate)
    for seconds, is_refused in days:
        before = gate.pace
        await clients.keep_calling(seconds)
        assert before <= gate.pace <= 1.0
        assert seconds < 35 or gate.pace == 1.0
        if is_refused:
            before = await refused_together(gate, 3)
            assert gate.pace == max(before * HALVED, LEAST_PACE)
    for start in clients.started:
        within = sum(start <= each <= start + 60 for each in clients.started)
        assert within <= per_minute + burst + LATE_S * per_minute / 60 + 1
    gate.close()


async def refused_together(gate: ModelGate, calls: int) -> float:
    """Calls that were under way together are refused; the pace just before."""
    async with AsyncExitStack() as stack:
        under_way = [await stack.enter_async_context(gate.call(NOTHING)) for _ in range(calls)]
        before = gate.pace
        for call in under_way:
            call.refused(0.0)
    return before


@in_virtual_time
async def test_a_demand_says_what_was_used_and_what_calls_wait_for() -> None:
    gate = ModelGate("gpt", RateShare(requests_per_minute=60, parallel=1))
    clients = Clients(gate, took_s=0.5)
    await clients.call(tokens(1000, 100))
    quiet = gate.demand()
    await clients.keep_calling(10, tokens(1000, 100))
    short = gate.demand()
    await asyncio.sleep(30)
    quiet, short, silent = [quiet, short, gate.demand()]
    assert quiet.short_of == ()
    assert (quiet.requests_per_minute, quiet.input_tokens_per_minute) == (3, 3000)
    assert short.short_of == ("parallel", "requests_per_minute")
    assert silent.requests_per_minute == 0
    assert silent.short_of == ()


@in_virtual_time
async def test_what_a_worker_no_longer_uses_is_said_within_seconds() -> None:
    gate = ModelGate("gpt", RateShare(requests_per_minute=600))
    clients = Clients(gate)
    await clients.keep_calling(20, tokens(100))
    busy = gate.demand()
    await asyncio.sleep(3.1)
    silent = gate.demand()
    assert (busy.requests_per_minute, busy.short_of) == (700, ("requests_per_minute",))
    assert (silent.requests_per_minute, silent.short_of) == (20, ())
    assert silent.input_tokens_per_minute == 2000


@in_virtual_time
async def test_a_call_that_waits_long_says_so_all_the_time() -> None:
    gate = ModelGate("gpt", RateShare(requests_per_minute=1))
    clients = Clients(gate)
    await clients.call()
    waiting = asyncio.create_task(clients.call())
    await asyncio.sleep(40)
    assert gate.demand().short_of == ("requests_per_minute",)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(3.1)
    assert gate.demand().short_of == ()


@in_virtual_time
async def test_small_changes_of_use_are_not_reported() -> None:
    gate = ModelGate("gpt", RateShare())
    clients = Clients(gate)
    seen = []
    for _ in range(7):
        await clients.call(tokens(1000))
        seen.append(gate.demand().requests_per_minute)
    assert seen == [3, 7, 10, 15, 15, 20, 30]


def test_calls_that_always_wake_late_still_use_the_whole_share() -> None:
    bucket, now, calls = LeakyBucket(600, 1, 0.0), 0.0, 0
    while now < 60:
        while (wait_s := bucket.wait_s(1, now)) > 0:
            now += wait_s + 0.02
        bucket.take(1)
        calls += 1
    assert 599 <= calls <= 602
