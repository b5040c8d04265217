"""A session counts, and holds its agent to the limits."""

from __future__ import annotations

from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from agentdash.worker import (
    HandBack,
    LimitReached,
    Session,
    SessionLimits,
    Task,
    TaskTerms,
    UsedTokens,
)
from agentdash.worker.models import ModelCalls
from agentdash.worker.rates import ModelGates
from agentdash.worker.router import TierHistory
from agentdash.worker.spending import Spending


def session(saved: list[Any] | None = None, **terms: Any) -> Session:
    async def save(state: Any) -> None:
        if saved is not None:
            saved.append(state)

    task = Task(id="one", payload=None, terms=TaskTerms(id="one", **terms))
    limits = SessionLimits(tokens=100, tool_calls=2)
    return Session(task, limits=limits, save=save, models=without_budgets)


def without_budgets(session: Session) -> ModelCalls:
    return ModelCalls(
        session,
        gates=ModelGates({}),
        models=(),
        history=TierHistory(),
        spending=Spending(JetStreamContext(Client())),
    )


def test_what_passes_a_limit_is_counted_all_the_same() -> None:
    one = session()
    one.used(UsedTokens(input=60, cached_input=30, output=10), model="a")
    with pytest.raises(LimitReached, match="101 tokens used, 100 allowed"):
        one.used(UsedTokens(input=1), model="b")
    assert one.tokens == 101
    assert set(one.usage) == {"a", "b"}


def test_a_tasks_own_budget_may_be_smaller() -> None:
    with pytest.raises(LimitReached, match="11 tokens used, 10 allowed"):
        session(budget_tokens=10).used(UsedTokens(output=11))
    one = session(budget_usd=0.5)
    one.used(UsedTokens(input=1), usd=0.5)
    with pytest.raises(LimitReached, match="USD"):
        one.used(UsedTokens(input=1), usd=0.01)


def test_tool_calls_and_steps_have_limits() -> None:
    one = session(max_steps=1)
    one.tool_call("a")
    one.tool_call("b", ok=False)
    with pytest.raises(LimitReached, match="more than 2 tool calls"):
        one.tool_call("c")
    one.step()
    with pytest.raises(LimitReached, match="more than 1 steps"):
        one.step()


def test_a_context_four_fifths_full_should_be_compacted() -> None:
    one = session()
    assert not one.context(79, 100)
    assert one.context(80, 100)


async def test_a_checkpoint_of_a_stopping_worker_is_stored_and_hands_back() -> None:
    saved: list[Any] = []
    one = session(saved)
    await one.checkpoint(1)
    one.stopping.set()
    with pytest.raises(HandBack):
        await one.checkpoint(2)
    assert (saved, one.resumed, one.revision) == ([1, 2], 2, 2)
