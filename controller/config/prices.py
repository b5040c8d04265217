"""The prices of models in the maintained table, genai-prices."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from controller.model.scarcity import Price


@lru_cache(maxsize=4096)
def table_price(model: str) -> Price | None:
    """The present price of a model, by the provider's name for it or by `provider/name`. If long
    requests cost more, it is the price of short ones. None if the model is not in the table, or if
    the table is not installed.
    """
    try:
        import genai_prices
    except ImportError:
        return None
    provider, slash, rest = model.partition("/")
    for name, provider_id in ((model, None), *(((rest, provider),) if slash else ())):
        try:
            found = genai_prices.calc_price(
                genai_prices.Usage(), model_ref=name, provider_id=provider_id
            ).model_price
        except LookupError:
            continue
        return _price(found.input_mtok, found.output_mtok, found.cache_read_mtok)
    return None


def _price(input_mtok: Any, output_mtok: Any, cache_read_mtok: Any) -> Price | None:
    """USD per million tokens; None for an item without a price per token, such as a picture."""
    per_input, per_output = _base(input_mtok), _base(output_mtok)
    if per_input is None or per_output is None:
        return None
    return Price(input=per_input, output=per_output, cached_input=_base(cache_read_mtok))


def _base(price: Any) -> Decimal | None:
    """The price of the lowest tier, which applies to requests of usual length."""
    base = getattr(price, "base", price)
    return base if isinstance(base, Decimal) else None
