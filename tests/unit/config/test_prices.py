"""Prices from the maintained table, for models whose price the fleet file leaves out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from controller.config import parse
from controller.config.schema.tenants import table_price
from controller.model.scarcity import Price

Dump = Callable[[object], str]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    table_price.cache_clear()
    yield
    table_price.cache_clear()


def prices(fleet: dict[str, Any], dump: Dump, models: dict[str, Any]) -> list[Price | None]:
    fleet["models"] = models
    return [model.price for model in parse(dump(fleet), "fleet.yaml").fleet.models]


def test_a_model_without_a_price_has_the_price_of_the_table(
    fleet: dict[str, Any], dump: Dump
) -> None:
    (known, own, unknown) = prices(
        fleet,
        dump,
        {
            "gpt-4.1": {},
            "gpt-4.1-mini": {"price": {"input": 9, "output": "9.5"}},
            "our-own-model": {},
        },
    )
    assert known is not None
    assert 0 < known.input < known.output
    assert known.cached_input is not None
    assert known.cached_input < known.input
    assert own == Price(input=Decimal(9), output=Decimal("9.5"))
    assert unknown is None


def test_the_provider_may_stand_before_the_name() -> None:
    assert table_price("claude-sonnet-4-5") is not None
    assert table_price("anthropic/claude-sonnet-4-5") == table_price("claude-sonnet-4-5")
    assert table_price("nobody/claude-sonnet-4-5") is None
    assert table_price("anthropic/") is None


def test_where_long_requests_cost_more_the_price_of_short_ones_counts() -> None:
    price = table_price("claude-sonnet-4-5")
    assert price is not None
    assert (price.input, price.output) == (Decimal(3), Decimal(15))


def test_a_model_that_is_not_priced_by_tokens_has_no_price() -> None:
    assert table_price("whisper-1") is None


def test_without_the_table_there_is_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert table_price("gpt-4.1") is None


def test_the_table_is_loaded_only_where_a_price_is_missing() -> None:
    code = """
import sys
from controller.config import parse
for price in ("{price: {input: 1, output: 1}}", "{}"):
    parse(f"{{version: 1, nats: {{servers: [nats://h]}}, models: {{m: {price}}}}}", "fleet.yaml")
    print("genai_prices" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
