"""What is scarce: quotas, budgets, capacity, providers' limits, prices. Money and weights are
exact.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

from controller.model.value import Value

ONE: Final = Decimal(1)


class Resources(Value):
    """Amounts of what replicas take; None where there is no limit. CPU in millicores, memory in
    bytes.
    """

    replicas: int | None = None
    cpu_milli: int | None = None
    memory_bytes: int | None = None


class Pacing(StrEnum):
    """When a tenant is held to the pace that lasts until its budget's reset."""

    NEVER = "never"
    ON_WARNING = "on_warning"
    ALWAYS = "always"


class TokenCount(Value):
    """How much a token of each kind counts against a budget."""

    input: Decimal = ONE
    output: Decimal = ONE
    cached_input: Decimal = Decimal("0.1")


class Budget(Value):
    """A tenant's daily tokens and its money. `warn` is a share of the day's tokens.

    `hard`: at 100 % the target is 0; otherwise the tenant is warned and paced, never stopped.
    `burst` is how far above its pace it may go while little is used and it is always paced. USD are
    per hour; `usd_per_workflow` is the worker runtime's.
    """

    tokens_per_day: int | None = None
    count: TokenCount = TokenCount()
    warn: Decimal = Decimal("0.8")
    hard: bool = True
    pacing: Pacing = Pacing.ON_WARNING
    burst: Decimal = ONE
    usd_per_hour: Decimal | None = None
    usd_alert: Decimal | None = None
    usd_per_workflow: Decimal | None = None


class NodeClass(Value):
    """Nodes of one kind, chosen by a label selector; `min_nodes` to `max_nodes` of them."""

    name: str
    selector: str = ""
    min_nodes: int = 0
    max_nodes: int | None = None


class Capacity(Value):
    """What the whole cluster may be used for."""

    resources: Resources = Resources()
    usd_per_hour: Decimal | None = None
    node_classes: tuple[NodeClass, ...] = ()


class RateLimits(Value):
    """A provider's limits for one model; `headroom` is the share left unused."""

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    parallel: int | None = None
    burst: int | None = None
    headroom: Decimal = Decimal(0)


class Price(Value):
    """USD per million tokens."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None


class ModelTier(StrEnum):
    """What a model is good for."""

    NANO = "nano"
    STANDARD = "standard"
    PREMIUM = "premium"


class LlmModel(Value):
    """One model of a provider. `shared`: its limits are one key's for all pools that use it."""

    name: str
    tier: ModelTier = ModelTier.STANDARD
    limits: RateLimits | None = None
    shared: bool = True
    price: Price | None = None


class TaskUsage(Value):
    """What one task takes until it is measured: tokens by kind, calls, and seconds of a slot."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 1
    seconds: Decimal = ONE


class Warm(Value):
    """Spares: a configured number, or as many as serve `slo` of the arrivals at once."""

    slo: Decimal | None = None
    replicas: int | None = None
