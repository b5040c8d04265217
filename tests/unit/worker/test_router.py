"""Which model a task is sent to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import chain, combinations
from random import Random
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats import errors
from nats.js.api import PubAck, RawStreamMsg
from nats.js.errors import NotFoundError

from agentdash.worker.router import (
    FADING,
    LEARNED_BUCKET,
    Classifier,
    LearnedTries,
    Route,
    TierRule,
    TierUse,
    least_tier,
)
from agentdash.worker.session import LimitReached, Task
from controller.model.scarcity import ModelTier
from controller.model.worker_messages import ModelTerms, UsedTokens
from support.table import tabled


def model(name: str, tier: ModelTier, price: str | None) -> ModelTerms:
    each = None if price is None else Decimal(price)
    return ModelTerms(name=name, tier=tier, input_price=each, output_price=each)


NANO = model("small", ModelTier.NANO, "0.1")
STANDARD = model("middle", ModelTier.STANDARD, "1")
PREMIUM = model("large", ModelTier.PREMIUM, "10")
ALL = (PREMIUM, NANO, STANDARD)
MILLION = UsedTokens(input=900_000, output=100_000)
"""With it a model costs its price."""


def routed(
    history: LearnedTries | None = None,
    *,
    models: tuple[ModelTerms, ...] = ALL,
    budget: str | None = None,
    **options: Any,
) -> Route:
    limit = None if budget is None else Decimal(budget)
    past = history or no_past()
    return Route("summary", models, past, expected=MILLION, budget_usd=limit, **options)


def no_past(kept: object = None) -> LearnedTries:
    return LearnedTries(cast("Any", kept), "acme", "research")


def least(text: str, *rules: TierRule, classifier: Classifier | None = None) -> ModelTier | None:
    return asyncio.run(least_tier(Task(id="t", payload=text), rules, classifier))


def failures(history: LearnedTries, times: int) -> None:
    """The small model fails, and the middle one does the task after it."""
    for _ in range(times):
        history.tried("summary", NANO.name, did_it=False)
        history.tried("summary", STANDARD.name, did_it=True)


def test_the_cheapest_model_is_tried_first_and_better_ones_after_it() -> None:
    route = routed()
    assert route.model == NANO
    assert route.failed(MILLION) == STANDARD
    assert route.failed(MILLION) == PREMIUM
    with pytest.raises(LimitReached, match="no model is left"):
        route.failed(MILLION)


def test_a_rule_says_the_least_tier_that_a_task_needs() -> None:
    def contracts(asked: Task) -> ModelTier | None:
        return ModelTier.PREMIUM if "contract" in asked.goal else None

    def short(asked: Task) -> ModelTier | None:
        return ModelTier.STANDARD

    assert least("read the contract", contracts, short) is ModelTier.PREMIUM
    assert least("sum up", contracts, short) is ModelTier.STANDARD
    assert routed(least=ModelTier.STANDARD).model == STANDARD


def test_a_classifier_is_asked_only_where_no_rule_speaks() -> None:
    asked: list[str] = []

    async def classify(one: Task) -> ModelTier | None:
        asked.append(one.goal)
        return ModelTier.STANDARD

    def by_length(one: Task) -> ModelTier | None:
        return ModelTier.NANO if len(one.goal) < 5 else None

    assert least("hi", by_length, classifier=classify) is ModelTier.NANO
    assert least("a long text", by_length, classifier=classify) is ModelTier.STANDARD
    assert asked == ["a long text"]


def test_a_model_that_fails_too_often_for_its_price_is_passed_over() -> None:
    history = no_past()
    failures(history, 12)
    # 1.5 of 14: still worth a tenth of the price
    assert routed(history).model == NANO
    failures(history, 12)
    assert routed(history).model == STANDARD


def test_a_model_that_was_passed_over_is_tried_again_in_time() -> None:
    history = no_past()
    failures(history, 30)
    seen = [routed(history).model for _ in range(100)]
    assert 25 < seen.index(NANO) < 60
    failures(history, 1)
    assert routed(history).model == STANDARD


def test_a_model_that_is_hardly_cheaper_is_not_tried_before_the_better_one() -> None:
    dear = model("dear", ModelTier.NANO, "0.9")
    assert routed(models=(dear, STANDARD)).model == STANDARD


KINDS = {
    "easy": (0.95, 0.98, 0.99),
    "medium": (0.30, 0.90, 0.98),
    "hard": (0.02, 0.40, 0.95),
    "very hard": (0.01, 0.03, 0.95),
    "gap": (0.30, 0.01, 0.98),
    "half gap": (0.25, 0.05, 0.98),
}
"""How often a small, a middle and a large model do a kind of task."""


def cheapest(prices: Sequence[float], chances: Sequence[float]) -> float:
    """The USD of a task on the best of all routes that end with the last model."""
    costs = []
    for tried in chain.from_iterable(combinations(range(len(prices) - 1), n) for n in range(3)):
        usd, reached = 0.0, 1.0
        for each in (*tried, len(prices) - 1):
            usd, reached = usd + reached * prices[each], reached * (1 - chances[each])
        costs.append(usd)
    return min(costs)


@tabled("prices", [("0.1", "1", "10"), ("1", "3", "15")])
@tabled("kind", KINDS)
def test_what_a_router_learns_costs_at_most_a_twentieth_more_than_the_best_route(
    kind: str, prices: tuple[str, str, str]
) -> None:
    models = tuple(
        model(tier.value, tier, price) for tier, price in zip(ModelTier, prices, strict=True)
    )
    chances = dict(zip((each.name for each in models), KINDS[kind], strict=True))
    random, history, usd, tasks = Random(1), no_past(), 0.0, 4_000
    for _ in range(tasks):
        route = routed(history, models=models)
        usd += float(route.model.usd(MILLION) or 0)
        with suppress(LimitReached):
            while random.random() >= chances[route.model.name]:
                usd += float(route.failed(MILLION).usd(MILLION) or 0)
            route.succeeded(MILLION)
    best = cheapest([float(price) for price in prices], KINDS[kind])
    assert usd / tasks <= 1.05 * best


def test_a_cheap_model_is_not_passed_over_for_a_middle_one_that_never_does_it() -> None:
    history = no_past()
    dear = (model("a", ModelTier.NANO, "1"), model("b", ModelTier.STANDARD, "3"), PREMIUM)
    for _ in range(40):
        history.tried("summary", "a", did_it=False)
        history.tried("summary", "b", did_it=False)
    for _ in range(10):  # a fifth at 1 USD is worth it before 10 USD, though not before 3
        history.tried("summary", "a", did_it=True)
    assert 0.2 < history.chance("summary", "a") < 1 / 3
    route = routed(history, models=dear)
    assert (route.model.name, route.failed(MILLION).name) == ("a", PREMIUM.name)


def test_the_budget_shrinks_with_every_try() -> None:
    route = routed(budget="1.05")
    assert route.model == NANO
    with pytest.raises(LimitReached, match=r"middle may cost 1\.0000 USD .* 0\.9500 USD are left"):
        route.failed(UsedTokens(input=1_000_000))


def test_without_prices_a_model_is_tried_while_it_succeeds_more_often_than_not() -> None:
    free = tuple(model(each.name, each.tier, None) for each in (NANO, STANDARD, PREMIUM))
    history = no_past()
    assert routed(history, models=free).model.name == "small"
    failures(history, 2)
    assert routed(history, models=free).model.name == "middle"


def test_each_try_tells_what_its_tier_cost_and_saved() -> None:
    told: list[tuple[ModelTerms, TierUse]] = []
    route = routed(on_use=lambda model, use: told.append((model, use)))
    route.failed(MILLION)
    route.succeeded(MILLION)
    assert told == [
        (NANO, TierUse(1, 0, Decimal("0.1"), Decimal(0))),
        (STANDARD, TierUse(1, 1, Decimal(1), Decimal(10))),
    ]


@given(
    st.lists(st.tuples(st.sampled_from([NANO, STANDARD, PREMIUM]), st.booleans()), max_size=80),
    st.decimals(0, 20, places=2),
)
def test_no_past_sends_a_task_beyond_its_budget(
    past: list[tuple[ModelTerms, bool]], budget: Decimal
) -> None:
    history = no_past()
    for tried, did_it in past:
        history.tried("summary", tried.name, did_it=did_it)
    left = budget
    try:
        route = routed(history, budget=str(budget))
        while True:
            cost = route.model.usd(MILLION)
            assert cost is not None
            assert cost <= left
            left -= cost
            route.failed(MILLION)
    except LimitReached:
        return


class Kept:
    """What is stored; while it `refuses`, nothing is."""

    def __init__(self) -> None:
        self.value, self.revision, self.refuses = b"", 0, False

    async def get_msg(self, *_: object, **__: object) -> RawStreamMsg:
        if not self.revision:
            raise NotFoundError
        return RawStreamMsg(
            subject=f"$KV.{LEARNED_BUCKET}.acme.research", data=self.value, seq=self.revision
        )

    async def publish(self, _: str, value: bytes, **__: object) -> PubAck:
        if self.refuses:
            raise errors.TimeoutError
        self.value, self.revision = value, self.revision + 1
        return PubAck(stream="", seq=self.revision)


async def test_workers_that_add_to_each_other_know_what_one_alone_would() -> None:
    kept, alone = Kept(), no_past()
    first, second = no_past(kept), no_past(kept)
    for number in range(40):
        worker = (first, second)[number // 7 % 2]
        for past in (alone, worker):
            past.tried("sum", NANO.name, did_it=number % 3 == 0)
            past.passed_over("sum", NANO.name)
        await worker.save()
        await (second if worker is first else first).recall()
    assert no_past().chance("sum", NANO.name) == 0.75
    for past in (first, second):
        assert past.chance("sum", NANO.name) == pytest.approx(
            alone.chance("sum", NANO.name), abs=0.005
        )


async def test_what_could_not_be_stored_is_stored_later() -> None:
    kept = Kept()
    past = no_past(kept)
    past.tried("sum", NANO.name, did_it=False)
    kept.refuses = True
    await past.save()
    past.tried("sum", NANO.name, did_it=True)
    kept.refuses = False
    await past.save()
    [entry] = msgspec.json.decode(kept.value)["entries"]
    assert (entry["done"], entry["failed"]) == (1.0, FADING)
