"""A session counts, and holds its agent to the limits."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from agentdash.worker import (
    HandBack,
    LimitReached,
    Retryable,
    Session,
    SessionLimits,
    Task,
    TaskTerms,
    UsedTokens,
)
from agentdash.worker.limits import ModelGates, Spending
from agentdash.worker.models import ModelCalls
from agentdash.worker.router import LearnedTries
from agentdash.worker.state import WorkerMetrics
from support.table import tabled
from support.virtual_loop import in_virtual_time


def session(saved: list[Any] | None = None, **terms: Any) -> Session:
    async def save(state: Any) -> None:
        if saved is not None:
            saved.append(state)

    task = Task(id="one", payload=None, terms=TaskTerms(id="one", **terms))
    limits = SessionLimits(tokens=100, tool_calls=2)
    metrics = WorkerMetrics("acme", "research")
    return Session(
        task, limits=limits, save=save, emit=save, run="", models=without_budgets, metrics=metrics
    )


def without_budgets(session: Session) -> ModelCalls:
    return ModelCalls(
        session,
        gates=ModelGates({}),
        models=(),
        history=LearnedTries(cast("Any", None), "acme", "research"),
        spending=Spending(cast("Any", None)),
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


@tabled(
    "said",
    [
        {"tokens": UsedTokens(input=-5)},
        {"tokens": UsedTokens(output=cast("int", math.nan))},
        {"tokens": UsedTokens(cached_input=10**9 + 1)},
        {"tokens": UsedTokens(calls=-1)},
        {"tokens": cast("UsedTokens", {"input": 5})},
        {"tokens": UsedTokens(input=5), "usd": math.nan},
        {"tokens": UsedTokens(input=5), "usd": -0.01},
        {"tokens": UsedTokens(input=5), "usd": math.inf},
        {"tokens": UsedTokens(input=5), "model": cast("str", 7)},
    ],
)
def test_usage_that_no_event_may_have_is_refused_and_not_counted(said: dict[str, Any]) -> None:
    one = session()
    with pytest.raises(ValueError, match=r"tokens|usd|model"):
        one.used(**said)
    assert (one.usage, one.usd) == ({}, 0.0)
    with pytest.raises(LimitReached):
        one.used(UsedTokens(input=101))


@tabled("used", [-1, math.nan, math.inf, "much"])
def test_a_context_without_numbers_is_refused(used: Any) -> None:
    with pytest.raises(ValueError, match="used cannot be"):
        session().context(used, 100)


def test_a_tool_without_a_name_is_refused_and_not_counted() -> None:
    one = session()
    with pytest.raises(ValueError, match="tool cannot be"):
        one.tool_call(cast("str", None))
    assert one.tool_calls == 0


@tabled("after_s", [-1.0, math.nan, math.inf, "soon"])
def test_a_pause_that_cannot_be_waited_for_is_refused(after_s: Any) -> None:
    with pytest.raises(ValueError, match="after_s cannot be"):
        Retryable("the site is down", after_s=after_s)


@pytest.mark.parametrize("tokens", [-1, math.nan, 10**9 + 1])
@in_virtual_time
async def test_a_call_of_a_model_with_such_tokens_is_refused(tokens: Any) -> None:
    one = session()
    with pytest.raises(ValueError, match="tokens cannot be"):
        async with one.models.call("gpt", input_tokens=tokens, output_tokens=0):
            pass
    with pytest.raises(ValueError, match="tokens cannot be"):
        async with one.models.call("gpt", input_tokens=1, output_tokens=1) as call:
            call.settle(UsedTokens(output=tokens))
    assert one.tokens == 2, "a call that failed counts with its estimate"
