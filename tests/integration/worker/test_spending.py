"""Budgets that several workers spend at once, on a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

import nats
import pytest

from agentdash.worker.limits import (
    SPENDING_BUCKET,
    Account,
    Spending,
    Spent,
    task_account,
    workflow_account,
)
from agentdash.worker.session import LimitReached, Retryable
from support.nats_server import RealNats

DOLLAR = Account(key="acme.workflow.w", subject="workflow w", usd=Decimal("1.00"))
CENT = Spent(usd=Decimal("0.01"), tokens=10)


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[list[Spending]]:
    """Five workers, each with a connection of its own."""
    with RealNats(tmp_path) as server:
        async with AsyncExitStack() as stack:
            made = []
            for _ in range(5):
                client = await nats.connect(server.url)
                stack.push_async_callback(client.close)
                made.append(Spending(client.jetstream(timeout=2.0)))
            yield made


async def spend_until_refused(spending: Spending, account: Account, used: Spent) -> int:
    """How often this worker could spend."""
    count = 0
    while True:
        try:
            await spending.reserve(account, CENT)
        except LimitReached:
            return count
        await spending.spend(account, used - CENT)
        count += 1


async def test_workers_together_never_pass_a_budget(workers: list[Spending]) -> None:
    counts = await asyncio.gather(*(spend_until_refused(each, DOLLAR, CENT) for each in workers))
    assert sum(counts) == 100
    with pytest.raises(LimitReached, match=r"workflow w may cost 1\.00 USD: 1\.0000 are spent"):
        await workers[0].reserve(DOLLAR, CENT)


async def test_a_budget_of_tokens_is_counted_like_one_of_usd(workers: list[Spending]) -> None:
    account = task_account("acme", "research", "t-1", None, 25)
    assert account is not None
    await workers[0].reserve(account, CENT)
    await workers[1].reserve(account, CENT)
    with pytest.raises(LimitReached, match="the task may use 25 tokens: 20 are used or reserved"):
        await workers[2].reserve(account, CENT)


async def test_budgets_do_not_mix(workers: list[Spending]) -> None:
    strange = workflow_account("acme", "päckchen.*> 1", Decimal(1))
    other = workflow_account("acme", "päckchen.*> 2", Decimal(1))
    assert strange is not None
    assert other is not None
    assert await spend_until_refused(workers[0], strange, CENT) == 100
    await workers[0].reserve(other, CENT)


async def test_a_budget_that_cannot_be_read_allows_nothing(tmp_path: Path) -> None:
    with RealNats(tmp_path) as server:
        client = await nats.connect(server.url, max_reconnect_attempts=0, error_cb=_quiet)
        spending = Spending(client.jetstream(timeout=0.5))
        await spending.reserve(DOLLAR, CENT)
    with pytest.raises(Retryable, match=f"{SPENDING_BUCKET} is not available"):
        await spending.reserve(DOLLAR, CENT)
    await client.close()


async def _quiet(error: Exception) -> None:
    """The server ends while we are connected: that is meant."""


def test_without_a_budget_there_is_no_account() -> None:
    assert task_account("acme", "research", "t", None, None) is None
    assert workflow_account("acme", "", Decimal(1)) is None
    assert workflow_account("acme", "w", None) is None
