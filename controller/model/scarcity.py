"""Shared limits (quotas, budgets, capacity, provider rate limits) and prices, in exact numbers."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

from controller.model.value import Amount, Value

ONE: Final = Decimal(1)


class Resources(Value):
    """Amounts of replicas, CPU (millicores) and memory (bytes); None for no limit or not known."""

    replicas: Amount | None = None
    cpu_milli: Amount | None = None
    memory_bytes: Amount | None = None


class Pacing(StrEnum):
    """When a tenant's token use is limited to the pace that lasts until its budget's reset."""

    NEVER = "never"
    ON_WARNING = "on_warning"
    ALWAYS = "always"


class TokenCount(Value):
    """The weight of a token of each kind in a budget."""

    input: Decimal = ONE
    output: Decimal = ONE
    cached_input: Decimal = Decimal("0.1")


class Budget(Value):
    """A tenant's budget of tokens per day, and its limits in USD."""

    tokens_per_day: int | None = None
    count: TokenCount = TokenCount()  # the weights of tokens
    warn: Decimal = Decimal("0.8")  # the share of the day's tokens that gives a warning
    hard: bool = True  # at 100 % the target becomes 0; else the tenant is warned and paced only
    pacing: Pacing = Pacing.ON_WARNING
    burst: Decimal = ONE  # with pacing `always`, the factor on the pace while less than `warn`
    usd_per_hour: Decimal | None = None  # a limit
    usd_alert: Decimal | None = None  # per hour, only an alert
    usd_per_workflow: Decimal | None = None  # used by the worker runtime


class NodeClass(Value):
    """A class of nodes, chosen by a label selector, with its least and largest number of nodes."""

    name: str
    selector: str = ""
    min_nodes: int = 0
    max_nodes: int | None = None


class Capacity(Value):
    """The limits of the whole fleet: resources, cost in USD per hour, and the classes of nodes."""

    resources: Resources = Resources()
    usd_per_hour: Decimal | None = None
    node_classes: tuple[NodeClass, ...] = ()


class RateLimits(Value):
    """A provider's limits for one model; None for no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None  # input and output together, as some providers count
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    parallel: int | None = None
    burst: int | None = None
    headroom: Decimal = Decimal(0)  # the share kept unused


class Price(Value):
    """USD per million tokens."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None


class ModelTier(StrEnum):
    """The class of a model, from the smallest to the most capable."""

    NANO = "nano"
    STANDARD = "standard"
    PREMIUM = "premium"


class LlmModel(Value):
    """One model of a provider."""

    name: str
    tier: ModelTier = ModelTier.STANDARD
    context_tokens: int | None = None  # the size of its context window, None if not known
    limits: RateLimits | None = None
    shared: bool = True  # all pools that use it share one key and its limits; else each tenant's
    price: Price | None = None


class TaskUsage(Value):
    """The usage of one task, declared or measured: tokens by kind, calls, seconds in a slot."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 1
    seconds: Decimal = ONE


class Warm(Value):
    """Warm spares: `replicas` of them, or as many as serve the share `slo` of arrivals at once."""

    slo: Decimal | None = None
    replicas: int | None = None
