"""The calls of one task: its session's tokens, refusals by the provider, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import generate_latest

from agentdash.worker.limits import UNTOLD_S, Account, ModelGates, Spending, Spent
from agentdash.worker.models import REFUSALS, ModelCalls
from agentdash.worker.router import LearnedTries
from agentdash.worker.session import LimitReached, Retryable, Session, Task
from agentdash.worker.state import WorkerMetrics
from controller.model.scarcity import ModelTier
from controller.model.worker_messages import ModelShare, ModelTerms, RateShare, UsedTokens
from support.virtual_loop import in_virtual_time, run


class Counts:
    """A session that may use 1,000 tokens by default."""

    task = Task(id="t", payload="sum up")

    def __init__(self, most: int = 1000) -> None:
        self.most_tokens = most
        self.seen: list[UsedTokens] = []
        self.usd: dict[str, float] = {}
        self.contexts: list[tuple[int, int]] = []

    @property
    def tokens(self) -> int:
        return sum(each.input + each.cached_input + each.output for each in self.seen)

    def context(self, used: int, size: int) -> bool:
        self.contexts.append((used, size))
        return False

    def count(self, tokens: UsedTokens, *, model: str, usd: float) -> None:
        self.seen.append(tokens)
        self.usd[model] = self.usd.get(model, 0.0) + usd
        if self.tokens > self.most_tokens:
            raise LimitReached("more tokens than allowed")


class RefusedError(Exception):
    """As the clients of openai and anthropic raise it."""

    status_code = 429

    def __init__(self, **headers: str) -> None:
        super().__init__("too many requests")
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        self.response = SimpleNamespace(headers=names)


def answer(prompt: int, completion: int, cached: int = 0) -> Any:
    details = SimpleNamespace(cached_tokens=cached)
    return SimpleNamespace(
        usage=SimpleNamespace(
            prompt_tokens=prompt, completion_tokens=completion, prompt_tokens_details=details
        )
    )


def in_turn(*outcomes: Any) -> Callable[[], Awaitable[Any]]:
    """A provider that answers, or raises, these one after the other."""
    left = list(outcomes)

    async def make() -> Any:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return make


class Purse(Spending):
    """The accounts in memory: what is reserved or spent, and nothing is refused."""

    def __init__(self) -> None:
        self.held: dict[str, Spent] = {}

    async def reserve(self, account: Account, amount: Spent) -> None:
        self.held[account.key] = self.held.get(account.key, Spent()) + amount

    async def spend(self, account: Account, amount: Spent) -> Spent:
        await self.reserve(account, amount)
        return self.held[account.key]

    async def spent(self, account: Account) -> Spent:
        return self.held.get(account.key, Spent())


def without_limits() -> ModelGates:
    gates = ModelGates({})
    gates.hold_to((), "w-1")
    return gates


def calls(
    counts: Counts,
    gates: ModelGates | None = None,
    models: tuple[ModelTerms, ...] = (),
    accounts: tuple[Account, ...] = (),
    purse: Purse | None = None,
    *,
    on_refusal: Callable[[str], None] = lambda _: None,
) -> ModelCalls:
    return ModelCalls(
        cast("Session", counts),
        gates=gates or without_limits(),
        models=models,
        history=LearnedTries(cast("Any", None), "acme", "research"),
        spending=purse or Purse(),
        accounts=accounts,
        on_refusal=on_refusal,
    )


@in_virtual_time
async def test_the_tokens_of_an_answer_are_counted_by_kind() -> None:
    counts = Counts()
    made = calls(counts)
    await made.ask("gpt", in_turn(answer(300, 20, 100)), input_tokens=400, output_tokens=50)
    other = SimpleNamespace(
        usage=SimpleNamespace(input_tokens=30, output_tokens=4, cache_read_input_tokens=9)
    )
    await made.ask("claude", in_turn(other), input_tokens=50, output_tokens=50)
    assert counts.seen == [
        UsedTokens(input=200, cached_input=100, output=20),
        UsedTokens(input=30, cached_input=9, output=4),
    ]


BUDGET = Account(key="k", subject="workflow w", usd=Decimal(1))
SMALL = ModelTerms(
    name="small", tier=ModelTier.NANO, input_price=Decimal(1), output_price=Decimal(1)
)
LARGE = ModelTerms(
    name="large", tier=ModelTier.PREMIUM, input_price=Decimal(9), output_price=Decimal(9)
)


@in_virtual_time
async def test_what_a_call_used_is_what_its_budget_loses() -> None:
    purse = Purse()
    made = calls(Counts(), models=(SMALL,), accounts=(BUDGET,), purse=purse)
    refused = RefusedError(retry_after="1")
    await made.ask("small", in_turn(refused, answer(30, 20)), input_tokens=99, output_tokens=99)
    assert purse.held["k"].usd == Decimal("0.00005")


@in_virtual_time
async def test_a_call_that_is_cut_while_its_cost_is_settled_is_settled_all_the_same() -> None:
    class SlowPurse(Purse):
        async def spend(self, account: Account, amount: Spent) -> Spent:
            await asyncio.sleep(1)
            return await super().spend(account, amount)

    purse = SlowPurse()
    made = calls(Counts(), models=(SMALL,), accounts=(BUDGET,), purse=purse)
    asking = asyncio.create_task(
        made.ask("small", in_turn(answer(30, 20)), input_tokens=99, output_tokens=99)
    )
    await asyncio.sleep(0.5)
    asking.cancel()
    await asyncio.wait({asking})
    await asyncio.sleep(1)
    assert purse.held["k"].usd == Decimal("0.00005")


@in_virtual_time
async def test_an_error_of_a_call_is_not_hidden_by_a_limit_that_it_passes() -> None:
    counts = Counts(most=100)
    made = calls(counts)

    async def one() -> None:
        async with made.call("gpt", input_tokens=90, output_tokens=10) as call:
            call.settle(UsedTokens(input=150))
            raise ValueError("no JSON")

    with pytest.raises(ValueError, match="no JSON"):
        await one()
    assert counts.tokens == 150


@in_virtual_time
async def test_a_task_that_no_model_solves_reaches_its_limit() -> None:
    with pytest.raises(LimitReached, match="no model is left"):
        await calls(Counts(), models=(LARGE, SMALL)).solve(
            lambda _: in_turn(answer(1, 1))(),
            accept=lambda _: False,
            kind="summary",
            input_tokens=20,
            output_tokens=5,
        )


@in_virtual_time
async def test_an_answer_without_usage_counts_as_estimated() -> None:
    counts = Counts()
    await calls(counts).ask("gpt", in_turn(object()), input_tokens=400, output_tokens=50)
    assert counts.tokens == 450


@in_virtual_time
async def test_a_refused_call_is_made_again_when_the_provider_says_so() -> None:
    loop, counts = asyncio.get_running_loop(), Counts()
    began = loop.time()
    made = in_turn(RefusedError(retry_after="7"), RefusedError(retry_after_ms="500"), answer(1, 1))
    gates = without_limits()
    ample = RateShare(requests_per_minute=60_000)
    gates.hold_to((ModelShare(model="gpt", newcomer=ample),), "w-1")
    metrics = WorkerMetrics("acme", "research")
    asked = calls(counts, gates, on_refusal=metrics.refused)
    await asked.ask("gpt", made, input_tokens=10, output_tokens=10)
    assert (loop.time() - began, counts.tokens) == pytest.approx((7.5, 2), abs=0.01)
    series = 'agent_refused_calls_total{model="gpt",role="research",tenant="acme"} 2.0'
    assert series in generate_latest(metrics.registry).decode()


@in_virtual_time
async def test_a_call_that_is_refused_without_end_is_given_up() -> None:
    made = in_turn(*[RefusedError()] * REFUSALS)
    with pytest.raises(Retryable, match="refused a call 20 times"):
        await calls(Counts()).ask("gpt", made, input_tokens=10, output_tokens=10)


@pytest.mark.parametrize("error", [ConnectionError("cut"), RefusedError()])
@in_virtual_time
async def test_other_errors_are_the_agents_own(error: Exception) -> None:
    if isinstance(error, RefusedError):
        error.code = "insufficient_quota"  # type: ignore[attr-defined]

    with pytest.raises(type(error)):
        await calls(Counts()).ask("gpt", in_turn(error), input_tokens=10, output_tokens=10)


@in_virtual_time
async def test_a_call_that_could_pass_the_sessions_limit_is_not_made() -> None:
    counts = Counts()
    made = calls(counts)
    await made.ask("gpt", in_turn(answer(600, 100)), input_tokens=600, output_tokens=100)
    with pytest.raises(LimitReached, match="700 are used or reserved"):
        await made.ask("gpt", in_turn(), input_tokens=200, output_tokens=101)
    assert counts.tokens == 700


def test_parallel_calls_of_a_task_do_not_pass_its_limit_together() -> None:
    async def history() -> list[object]:
        made = calls(Counts())

        async def one() -> None:
            async with made.call("gpt", input_tokens=400, output_tokens=0) as call:
                await asyncio.sleep(1)
                call.settle(UsedTokens(input=400))

        return await asyncio.gather(one(), one(), one(), return_exceptions=True)

    assert [type(each) for each in run(history())] == [type(None), type(None), LimitReached]


@in_virtual_time
async def test_orders_replace_the_shares_that_a_worker_began_with() -> None:
    loop = asyncio.get_running_loop()
    gates = ModelGates({"gpt": RateShare(requests_per_minute=1)})
    made = calls(Counts(), gates)
    ask = in_turn(*[answer(1, 1)] * 3)
    await made.ask("gpt", ask, input_tokens=1, output_tokens=1)
    newcomer, mine = RateShare(requests_per_minute=1), RateShare(requests_per_minute=60)
    share = ModelShare(model="gpt", newcomer=newcomer, workers={"w-1": mine})
    loop.call_later(3, gates.hold_to, (share,), "w-1")
    began = loop.time()
    await made.ask("gpt", ask, input_tokens=1, output_tokens=1)
    assert [each.short_of for each in gates.demand()] == [("requests_per_minute",)]
    assert loop.time() - began == pytest.approx(3.95)


def test_the_first_call_waits_for_the_share_and_no_longer_than_needed() -> None:
    async def history(told_after_s: float | None) -> float:
        loop = asyncio.get_running_loop()
        gates, began = ModelGates({}), loop.time()
        if told_after_s is not None:
            loop.call_later(told_after_s, gates.hold_to, (), "w-1")
        ask = in_turn(answer(1, 1), answer(1, 1))
        await calls(Counts(), gates).ask("gpt", ask, input_tokens=1, output_tokens=1)
        return loop.time() - began

    assert run(history(0.0)) == pytest.approx(0.0, abs=0.01)
    assert run(history(1.2)) == pytest.approx(1.2, abs=0.01)
    assert run(history(None)) == pytest.approx(UNTOLD_S)
