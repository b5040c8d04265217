"""What a worker must hold to, as the controller says it, and what it reports about its use.

There are two parts: the terms of a pool, which change with the fleet file, and each worker's share
of each model's limits, which changes with the workers and with what they need.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec

from controller.model.scarcity import ModelTier
from controller.model.usage_event import UsedTokens

PER_MILLION: Final = 1_000_000
PerMinute = Annotated[float, msgspec.Meta(ge=0)]
Calls = Annotated[int, msgspec.Meta(ge=0)]


class RateShare(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One worker's share of a model's limits. None: there is no such limit.

    `tokens_per_minute` limits input and output together. `burst` is how many requests may start at
    once after a time without any.
    """

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    input_tokens_per_minute: PerMinute | None = None
    output_tokens_per_minute: PerMinute | None = None
    parallel: Calls | None = None
    burst: Annotated[int, msgspec.Meta(ge=1)] = 1


class ModelShare(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The shares of one pool's workers in the limits of one model, by the worker's name.

    A worker that is not named has just started: it holds to `newcomer` until it is.
    """

    model: str
    newcomer: RateShare
    workers: dict[str, RateShare] = {}

    def of(self, worker: str) -> RateShare:
        """The share of this worker."""
        return self.workers.get(worker, self.newcomer)


class ModelDemand(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A worker's recent use of one model, and the limits that its calls wait for, by their names in
    RateShare. What it needs of those is not known, only that it is more than it has.

    `refused_per_minute` are those of its requests that the provider refused for its rate (429).
    """

    model: str
    requests_per_minute: PerMinute = 0.0
    refused_per_minute: PerMinute = 0.0
    input_tokens_per_minute: PerMinute = 0.0
    output_tokens_per_minute: PerMinute = 0.0
    parallel: Calls = 0
    short_of: tuple[str, ...] = ()

    @property
    def tokens_per_minute(self) -> float:
        """Input and output together."""
        return self.input_tokens_per_minute + self.output_tokens_per_minute


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What one session may use: tokens of all kinds, seconds, calls of tools. A task's own budget
    may be smaller.
    """

    tokens: int = 500_000
    duration_s: float = 14_400.0
    tool_calls: int = 200


class ModelTerms(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A model that a task may use. Prices are USD per million tokens. None: not known."""

    name: str
    tier: ModelTier = ModelTier.STANDARD
    context_tokens: int | None = None
    input_price: Decimal | None = None
    cached_input_price: Decimal | None = None
    output_price: Decimal | None = None

    def usd(self, tokens: UsedTokens) -> Decimal | None:
        """What these tokens cost; None without a price."""
        if self.input_price is None or self.output_price is None:
            return None
        cached = self.input_price if self.cached_input_price is None else self.cached_input_price
        whole = tokens.input * self.input_price + tokens.output * self.output_price
        return (whole + tokens.cached_input * cached) / PER_MILLION


class WorkerTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the fleet file says to the workers of a pool.

    - `session`: the limits of one task. None: the worker's own settings apply.
    - `models`: those that a task may use, with their tiers and prices; `model` is the pool's own.
    - `usd_per_workflow`: the most that all tasks of one workflow may cost together.
    """

    session: SessionLimits | None = None
    model: str = ""
    models: tuple[ModelTerms, ...] = ()
    usd_per_workflow: Decimal | None = None
