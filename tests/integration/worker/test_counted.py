"""What tasks use is counted, however they use it and however they end."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest

from agentdash.worker import Session, Task, TaskStatus, UsedTokens
from agentdash.worker.limits import Spending, workflow_account
from agentdash.worker.stores import ensure_usage_stream
from controller.model.worker_messages import USAGE_STREAM, PoolAllowance, UsageEvent, WorkerTerms
from tests.integration.worker.conftest import Shop
from tests.integration.worker.test_models import LARGE, SMALL, allow

WORKFLOW = WorkerTerms(models=(SMALL, LARGE), model="small", usd_per_workflow=Decimal("1.00"))
CENTS = UsedTokens(input=2500)
"""At the price of `small` 25 cents."""


async def events(shop: Shop) -> list[UsageEvent]:
    js = shop.link.jetstream
    count = (await js.stream_info(USAGE_STREAM)).state.messages
    return [
        msgspec.json.decode((await js.get_msg(USAGE_STREAM, number)).data or b"", type=UsageEvent)
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (0.01, "the task may cost 0.01 USD: 90.0000 are spent"),
        (None, "workflow w may cost 1.00 USD: 90.0000 are spent"),
    ],
    ids=["of the task", "of the workflow"],
)
async def test_what_an_agent_reports_itself_is_priced_and_limited(
    shop: Shop, budget: float | None, said: str
) -> None:
    async def agent(_: Task, session: Session) -> object:
        session.used(UsedTokens(input=100_000), model="large")
        return "never"

    await allow(shop, PoolAllowance(terms=WORKFLOW))
    async with shop.worker(agent):
        await shop.submit(None, "one", workflow="w", budget_usd=budget)
        result = await shop.result("one")
    assert (result.status, result.usd) == (TaskStatus.LIMIT, 90.0)
    assert said in result.error
    account = workflow_account("acme", "w", WORKFLOW.usd_per_workflow)
    assert account is not None
    assert (await Spending(shop.link.jetstream).spent(account)).usd == 90


async def test_what_agents_report_themselves_is_counted_across_tasks_of_a_workflow(
    shop: Shop,
) -> None:
    """A model that is not named is the pool's own."""

    async def agent(task: Task, session: Session) -> object:
        for page in range(int(task.goal)):
            session.used(CENTS)
            await session.checkpoint(page)
        return "done"

    await allow(shop, PoolAllowance(terms=WORKFLOW))
    async with shop.worker(agent):
        await shop.submit("3", "one", workflow="w")
        first = await shop.result("one")
        await shop.submit("3", "two", workflow="w")
        second = await shop.result("two")
    assert (first.status, first.usd) == (TaskStatus.DONE, 0.75)
    assert (second.status, second.usd) == (TaskStatus.LIMIT, 0.5)
    assert "workflow w may cost 1.00 USD: 1.2500 are spent" in second.error


async def test_a_call_by_the_session_finds_what_the_agent_reported_itself(shop: Shop) -> None:
    async def agent(_: Task, session: Session) -> None:
        session.used(UsedTokens(input=9_000))
        async with session.models.call("small", input_tokens=2_000, output_tokens=0):
            raise AssertionError("it must not be made")

    await allow(shop, PoolAllowance(terms=WORKFLOW))
    async with shop.worker(agent):
        await shop.submit(None, "one", workflow="w")
        result = await shop.result("one")
    assert result.status is TaskStatus.LIMIT
    assert "0.9000 are spent or reserved, and the next call may cost 0.2000" in result.error


async def test_a_budget_in_usd_ends_with_tokens_that_have_no_price(shop: Shop) -> None:
    async def agent(_: Task, session: Session) -> None:
        session.used(UsedTokens(input=10), model="local", usd=0.25)
        session.used(UsedTokens(input=10), model="local")

    await allow(shop, PoolAllowance(terms=WORKFLOW))
    async with shop.worker(agent):
        await shop.submit(None, "one", workflow="w")
        result = await shop.result("one")
    assert (result.status, result.tokens, result.usd) == (TaskStatus.LIMIT, 20, 0.25)
    assert "workflow w has a budget in USD, and local has no price" in result.error


async def test_a_call_that_is_cut_is_counted_with_its_estimate(shop: Shop) -> None:
    async def agent(_: Task, session: Session) -> None:
        async with session.models.call("small", input_tokens=100, output_tokens=10):
            await asyncio.Event().wait()

    await ensure_usage_stream(shop.link.jetstream)
    await allow(shop, PoolAllowance())
    async with shop.worker(agent, attempts=1):
        await shop.submit(None, "one", timeout_s=0.1)
        result = await shop.result("one")
        await shop.all_acknowledged()
    assert (result.status, result.tokens) == (TaskStatus.DEAD, 110)
    assert "time-out of 0.1 s" in result.error
    assert [(each.usage.input, each.usage.output) for each in await events(shop)] == [(100, 10)]
