"""Tasks that call models: their pool's terms and shares, a provider with limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.errors import NotFoundError
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from agentdash.demo.agents import DemoProvider, ProviderModel, provider_client
from agentdash.worker import Agent, Session, Task, TaskStatus, UsedTokens, limits
from agentdash.worker.limits import UNTOLD_S
from agentdash.worker.router import LEARNED_BUCKET, LearnedTries
from agentdash.worker.stores import bucket, ensure_usage_stream
from controller.model.scarcity import ModelTier
from controller.model.worker_messages import (
    ALLOWANCES_BUCKET,
    USAGE_STREAM,
    WORKERS_BUCKET,
    ModelShare,
    ModelTerms,
    PoolAllowance,
    RateShare,
    SessionLimits,
    UsageEvent,
    WorkerState,
    WorkerTerms,
    orders_key,
    worker_key,
)
from integration.worker.conftest import Shop, shop_at
from support.nats_server import RealNats

ASKED: Any = [{"role": "user", "content": "x" * 396}]
"""100 tokens."""
CENT = Decimal(100)
"""A price: 100 tokens cost a cent."""
SMALL = ModelTerms(name="small", tier=ModelTier.NANO, input_price=CENT, output_price=CENT)
LARGE = ModelTerms(
    name="large", tier=ModelTier.PREMIUM, input_price=9 * CENT, output_price=9 * CENT
)
MODELS = (
    ProviderModel(name="small", skill=0.0),
    ProviderModel(name="large"),
    ProviderModel(name="scarce", requests_per_minute=600, burst=5),
)


@pytest.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    async with (
        DemoProvider(MODELS, speed=1000, seed=1) as provider,
        provider_client(provider.url) as made,
    ):
        yield made


async def allow(shop: Shop, allowance: PoolAllowance) -> None:
    """Say this before a worker starts, as a controller would."""
    js = shop.link.jetstream
    await js.create_key_value(bucket=ALLOWANCES_BUCKET)
    allowances = bucket(js, ALLOWANCES_BUCKET)
    await allowances.put(orders_key("acme", "research"), msgspec.json.encode(allowance))


async def usage_event(shop: Shop, number: int) -> UsageEvent:
    message = await shop.link.jetstream.get_msg(USAGE_STREAM, number)
    return msgspec.json.decode(message.data or b"", type=UsageEvent)


def talking(client: AsyncOpenAI, model: str, done_at: list[float] | None = None) -> Agent:
    """An agent that asks this model; with `done_at` again and again, and notes when."""

    async def talk(_: Task, session: Session) -> object:
        while True:
            await session.models.ask(
                model,
                lambda: client.chat.completions.create(
                    model=model, messages=ASKED, max_completion_tokens=1
                ),
                input_tokens=101,
                output_tokens=1,
            )
            if done_at is None:
                return None
            done_at.append(time.monotonic())

    return talk


def is_right(answer: ChatCompletion) -> bool:
    return answer.choices[0].message.content == "OK"


async def test_a_session_is_limited_by_its_pools_terms(shop: Shop, client: AsyncOpenAI) -> None:
    await allow(shop, PoolAllowance(terms=WorkerTerms(session=SessionLimits(tokens=1000))))
    async with shop.worker(talking(client, "large", [])):
        await shop.submit("go", "t-1")
        result = await shop.result("t-1")
    assert result.status is TaskStatus.LIMIT
    assert result.tokens == 9 * 101
    assert "1,000 tokens are allowed: 909 are used or reserved" in result.error


async def test_a_workflow_is_limited_across_workers(shop: Shop) -> None:
    async def spend(_: Task, session: Session) -> object:
        count = 0
        while True:
            async with session.models.call("small", input_tokens=50, output_tokens=50) as call:
                await asyncio.sleep(0.001)
                call.settle(UsedTokens(input=50, output=50))
            count += 1

    terms = WorkerTerms(models=(SMALL,), usd_per_workflow=Decimal("0.50"))
    await allow(shop, PoolAllowance(terms=terms))
    async with shop.worker(spend, slots=2), shop.worker(spend, slots=2, worker="two"):
        for number in range(4):
            await shop.submit("go", f"t-{number}", workflow="w")
        results = [await shop.result(f"t-{number}") for number in range(4)]
    assert {result.status for result in results} == {TaskStatus.LIMIT}
    assert all("workflow w may cost 0.50 USD" in result.error for result in results)
    assert sum(result.usd for result in results) == pytest.approx(0.50)


async def test_a_tasks_own_budget_counts_over_its_tries(shop: Shop) -> None:
    """A try that fails has used its part of the budget; the next try has only the rest."""

    async def spend(task: Task, session: Session) -> object:
        for _ in range(3):
            async with session.models.call("small", input_tokens=100, output_tokens=0) as call:
                call.settle(UsedTokens(input=100))
        raise ConnectionError(f"try {task.attempt}")

    await allow(shop, PoolAllowance(terms=WorkerTerms(models=(SMALL,))))
    async with shop.worker(spend):
        await shop.submit("go", "t-1", budget_usd=0.05)
        result = await shop.result("t-1")
    assert (result.status, result.attempts) == (TaskStatus.LIMIT, 2)
    assert "the task may cost 0.05 USD: 0.0500 are spent" in result.error


async def test_a_task_goes_to_a_better_model_when_a_cheap_one_fails(
    shop: Shop, client: AsyncOpenAI
) -> None:
    async def answer(_: Task, session: Session) -> object:
        solved = await session.models.solve(
            lambda model: client.chat.completions.create(
                model=model, messages=ASKED, max_completion_tokens=50
            ),
            accept=is_right,
            kind="summary",
            input_tokens=101,
            output_tokens=50,
        )
        return solved.model

    await ensure_usage_stream(shop.link.jetstream)
    await allow(shop, PoolAllowance(terms=WorkerTerms(models=(SMALL, LARGE))))
    async with shop.worker(answer):
        await shop.submit("go", "t-1")
        result = await shop.result("t-1")
        await shop.all_acknowledged()
    assert result.result == "large"
    assert result.usd > 0.09
    first, second = [await usage_event(shop, number) for number in (1, 2)]
    assert [each.tier for each in (first, second)] == ["nano", "premium"]
    # the small model's try was paid and not accepted; the large one's would have been made anyway
    assert first.saved_usd == pytest.approx(-float(SMALL.usd(first.usage) or 0))
    assert first.saved_usd < 0
    assert second.saved_usd == 0


async def test_what_a_router_has_learned_outlives_its_worker(
    shop: Shop, client: AsyncOpenAI
) -> None:
    """The small model fails each time: a worker without a past asks it for ten tasks and more."""
    asked: list[str] = []

    async def answer(_: Task, session: Session) -> object:
        async def ask(model: str) -> ChatCompletion:
            asked.append(model)
            return await client.chat.completions.create(
                model=model, messages=ASKED, max_completion_tokens=50
            )

        await session.models.solve(
            ask, accept=is_right, kind="summary", input_tokens=101, output_tokens=50
        )
        return None

    await allow(shop, PoolAllowance(terms=WorkerTerms(models=(SMALL, LARGE))))
    async with shop.worker(answer):
        for number in range(20):
            await shop.submit("go", f"t-{number}")
            await shop.result(f"t-{number}")
    assert asked.count("small") > 10
    asked.clear()
    async with shop.worker(answer, worker="two"):
        for number in range(10):
            await shop.submit("go", f"later-{number}")
            await shop.result(f"later-{number}")
    assert asked.count("large") == 10
    assert asked.count("small") < 5


async def test_what_cannot_be_read_of_the_learned_is_learned_anew(shop: Shop) -> None:
    js = shop.link.jetstream
    await js.create_key_value(bucket=LEARNED_BUCKET)
    learned, other = (LearnedTries(js, "acme", "research") for _ in range(2))
    await bucket(js, LEARNED_BUCKET).put("acme.research", b'{"entries": 7}')
    await learned.recall()
    learned.tried("sum", "small", did_it=False)
    await learned.save()
    await other.recall()
    assert other.chance("sum", "small") == pytest.approx(learned.chance("sum", "small"))
    assert other.chance("sum", "small") == pytest.approx(0.5)


async def test_a_worker_holds_to_its_share_and_says_what_it_needs(
    shop: Shop, client: AsyncOpenAI
) -> None:
    done_at: list[float] = []

    nothing = RateShare(requests_per_minute=0.001)
    mine = RateShare(requests_per_minute=600)
    share = ModelShare(model="scarce", newcomer=nothing, workers={"one": mine})
    await allow(shop, PoolAllowance(shares=(share,)))
    async with shop.worker(talking(client, "scarce", done_at), grace_s=0.1):
        await shop.submit("go", "t-1")
        states = bucket(shop.link.jetstream, WORKERS_BUCKET)
        while len(done_at) <= 12:
            await asyncio.sleep(0.02)
        while True:
            entry = await states.get(worker_key("acme", "research", "one"))
            state = msgspec.json.decode(entry.value or b"", type=WorkerState)
            if state.demand:
                break
            await asyncio.sleep(0.02)
    (demand,) = state.demand
    assert (demand.model, demand.short_of) == ("scarce", ("requests_per_minute",))
    assert (len(done_at) - 1) / (done_at[-1] - done_at[0]) == pytest.approx(10, rel=0.15)


async def calls_of_a_worker(
    shop: Shop, provider: DemoProvider, admitted: int, **changes: Any
) -> int:
    """Twenty tasks of one worker call a model, until so many calls are admitted; those refused."""
    async with provider_client(provider.url) as client:
        agent = talking(client, "scarce")
        async with shop.worker(agent, slots=20, grace_s=0.1, **changes):
            for number in range(20):
                await shop.submit("go", f"t-{number}")
            while provider.admissions["scarce"].admitted < admitted:
                await asyncio.sleep(0.01)
            return provider.admissions["scarce"].refused


async def test_a_worker_without_a_share_is_refused_a_handful_of_calls(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no controller, and its settings name neither models nor rates."""
    monkeypatch.setattr(limits, "UNTOLD_S", 0.05)
    scarce = ProviderModel(name="scarce", requests_per_minute=40)
    async with DemoProvider([scarce], speed=1000, seed=1) as provider:
        refused = await calls_of_a_worker(shop, provider, admitted=3)
    assert refused <= 5


async def test_a_worker_of_models_pulls_nothing_before_it_is_told_what_it_may_use(
    shop: Shop,
) -> None:
    async with shop.worker(model="scarce"):
        await shop.submit("go", "t-1")
        states = bucket(shop.link.jetstream, WORKERS_BUCKET)
        while True:
            with suppress(NotFoundError):
                await states.get(worker_key("acme", "research", "one"))
                break
            await asyncio.sleep(0.005)
        waiting = (await shop.counted()).num_pending
        began = time.monotonic()
        await allow(shop, PoolAllowance())
        await shop.result("t-1")
    assert waiting == 1
    assert time.monotonic() - began < UNTOLD_S / 2


async def test_a_worker_that_is_told_nothing_goes_by_its_own_setting(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNTOLD_S", 0.05)

    async def count(_: Task, session: Session) -> object:
        for _ in range(400):
            async with session.models.call("own", input_tokens=1, output_tokens=1):
                pass
        return "done"

    own = {"own": RateShare(requests_per_minute=60_000)}
    async with shop.worker(count, rates=own), asyncio.timeout(20):  # a cautious one needs longer
        await shop.submit("go", "t-1")
        assert (await shop.result("t-1")).result == "done"


async def test_a_worker_without_models_waits_for_nothing(shop: Shop) -> None:
    began = time.monotonic()
    async with shop.worker():
        await shop.submit("go", "t-1")
        await shop.result("t-1")
    assert time.monotonic() - began < UNTOLD_S


async def test_an_agent_is_told_when_its_context_fills(shop: Shop) -> None:
    async def grow(_: Task, session: Session) -> object:
        compacted: list[float] = []
        session.when_context_fills(compacted.append)
        for size in (100, 850, 900, 200, 800):
            async with session.models.call("wide", input_tokens=size, output_tokens=0) as call:
                call.settle(UsedTokens(input=size))
        return compacted

    wide = ModelTerms(name="wide", context_tokens=1000)
    await allow(shop, PoolAllowance(terms=WorkerTerms(models=(wide,))))
    async with shop.worker(grow):
        await shop.submit("go", "t-1")
        result = await shop.result("t-1")
    assert result.result == [0.85, 0.8]


async def test_a_worker_that_may_not_read_what_was_learned_works_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    denied = "$JS.API.STREAM.MSG.GET.KV_agentdash_learned"
    rights = f'permissions: {{ publish: {{ deny: ["{denied}"] }} }}'
    user = f"{{ user: limited, password: limited, {rights} }}"
    limited = f"accounts {{ A {{ jetstream: enabled, users: [{user}] }} }}\nno_auth_user: limited\n"
    with RealNats(tmp_path, limited) as server:
        async with shop_at(server.url) as shop, shop.worker():
            await shop.submit("go", "t-1")
            assert (await shop.result("t-1")).status is TaskStatus.DONE
    assert "what routers have learned could not be read" in caplog.text
