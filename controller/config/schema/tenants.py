"""Tiers and tenants: which are served first, and how much each may use and spend."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict

from controller.config.scalars import (
    Cpu,
    DnsLabel,
    Factor,
    LabelSelector,
    Memory,
    Share,
    ShareBelowOne,
    TimeZone,
    Usd,
    Wait,
    Weight,
)
from controller.config.schema.section import (
    NO_OTHER_NAMES,
    PositiveCount,
    Replicas,
    Section,
    WholeCount,
    bounds_in_order,
)
from controller.model.scarcity import ONE

MAX_PRIORITY: Final = 1_000_000_000
"""The highest that Kubernetes allows a PriorityClass of a user."""


class BlindEntry(Section):
    """What happens to a pool whose queue cannot be read for some time."""

    looks_like = "hold, or {after: 10m, replicas: 2}"

    after: Wait = Field(description="How long the queue was not read: a duration.")
    replicas: Replicas = Field(
        description="The pool is then raised to at least this many replicas, never lowered."
    )


def _or_hold(schema: JsonDict) -> None:
    options = schema["anyOf"]
    if isinstance(options, list):
        options.append({"const": "hold"})


class TierEntry(Section):
    """A rank of tenants."""

    looks_like = "{priority: 500}"

    priority: int = Field(
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="The tier with the higher priority is served first.",
    )
    blind: Annotated[
        BlindEntry | None, BeforeValidator(lambda written: None if written == "hold" else written)
    ] = Field(
        default=None,
        description="What happens to a pool while its queue cannot be read: hold keeps its size; "
        "{after, replicas} raises it. Default hold.",
        json_schema_extra=_or_hold,
    )


class QuotaEntry(Section):
    """The most that a tenant's pools may use together."""

    looks_like = '{replicas: 20, cpu: "16", memory: 64Gi}'

    replicas: Replicas | None = Field(default=None, description="Replicas. Default: no limit.")
    cpu: Cpu | None = Field(
        default=None,
        description='Cores as Kubernetes writes them: "16", "500m". Default: no limit.',
    )
    memory: Memory | None = Field(
        default=None, description='Memory as Kubernetes writes it: "64Gi". Default: no limit.'
    )


class TokenCountEntry(Section):
    """How much a token of each kind counts against the budget."""

    looks_like = "{input: 1, output: 1, cached_input: 0.1}"

    input: Factor = Field(default=ONE, description="An input token. Default 1.")
    output: Factor = Field(default=ONE, description="An output token. Default 1.")
    cached_input: Factor = Field(
        default=Decimal("0.1"), description="An input token read from the cache. Default 0.1."
    )


class BudgetEntry(Section):
    """The tokens per day and the money of a tenant."""

    looks_like = "{tokens_per_day: 5000000}"

    tokens_per_day: WholeCount | None = Field(
        default=None, description="Tokens from midnight to midnight, local time. Default: no limit."
    )
    count: TokenCountEntry = Field(
        default_factory=TokenCountEntry,
        description="How much a token of each kind counts against them. Default: 1, 1, 0.1.",
    )
    warn: Share = Field(
        default=Decimal("0.8"),
        description="Share of the day's tokens at which to warn. Default 0.8.",
    )
    hard: bool = Field(
        default=True, description="true: at 100 % the target is 0; false: warn only. Default true."
    )
    pacing: Literal["never", "on_warning", "always"] = Field(
        default="on_warning",
        description="When the tenant is slowed down so that its tokens last the day. Default "
        "on_warning.",
    )
    usd_per_hour: Usd | None = Field(
        default=None, description="The most that its replicas may cost. Default: no limit."
    )
    usd_alert: Usd | None = Field(
        default=None,
        description="USD per hour at which to alert, at most usd_per_hour. Default: none.",
    )
    usd_per_workflow: Usd | None = Field(
        default=None, description="The most that one workflow may cost. Default: no limit."
    )

    @field_validator("usd_alert")
    @classmethod
    def _alert_before_the_limit(cls, alert: Decimal, info: ValidationInfo) -> Decimal:
        limit = info.data.get("usd_per_hour")
        if limit is not None and alert > limit:
            raise ValueError(f"must be at most usd_per_hour ({limit}), or it never alerts")
        return alert


class TenantEntry(Section):
    """A customer."""

    looks_like = "{tier: growth}"

    tier: str = Field(description="The name of one of the tiers.")
    namespace: DnsLabel | None = Field(
        default=None, description="The namespace of its Deployments. Default: the tenant's name."
    )
    weight: Weight = Field(
        default=ONE, description="Its share inside its tier, relative to other weights. Default 1."
    )
    timezone: TimeZone = Field(
        default="UTC", description="IANA name of its time zone. Default UTC."
    )
    quota: QuotaEntry = Field(
        default_factory=QuotaEntry,
        description="The most that its pools may use together; the ResourceQuota of its namespace "
        "is a limit too. Default: no limit.",
    )
    budget: BudgetEntry = Field(
        default_factory=BudgetEntry, description="Its tokens and its money. Default: no limit."
    )


def default_tiers() -> dict[str, TierEntry]:
    """The tiers of a fleet file that has no key `tiers`."""
    priorities = {"enterprise": 1000, "growth": 500, "starter": 100}
    return {name: TierEntry(priority=priority) for name, priority in priorities.items()}


class RateLimitsEntry(Section):
    """A provider's limits for one API key."""

    looks_like = "{requests_per_minute: 600}"

    requests_per_minute: PositiveCount | None = Field(
        default=None, description="Requests per minute. Default: no limit."
    )
    tokens_per_minute: PositiveCount | None = Field(
        default=None,
        description="Input and output tokens per minute together, where the provider counts so. "
        "Default: no limit.",
    )
    input_tokens_per_minute: PositiveCount | None = Field(
        default=None, description="Input tokens per minute. Default: no limit."
    )
    output_tokens_per_minute: PositiveCount | None = Field(
        default=None, description="Output tokens per minute. Default: no limit."
    )
    parallel: PositiveCount | None = Field(
        default=None, description="Requests at the same time. Default: no limit."
    )
    burst: PositiveCount | None = Field(
        default=None,
        description="Requests at once after a pause. Default: they are spread evenly.",
    )
    headroom: ShareBelowOne = Field(
        default=Decimal(0),
        description="Share of the limits per minute that is left unused. Default 0.",
    )


class PriceEntry(Section):
    """The price of a model, in USD per million tokens."""

    looks_like = "{input: 2.50, output: 10.00}"

    input: Usd = Field(description="USD per million input tokens.")
    output: Usd = Field(description="USD per million output tokens.")
    cached_input: Usd | None = Field(
        default=None,
        description="USD per million input tokens read from the cache. Default: as input.",
    )


class ModelEntry(Section):
    """One model of a provider."""

    looks_like = "{tier: standard}"

    tier: Literal["nano", "standard", "premium"] = Field(
        default="standard", description="How capable it is. Default standard."
    )
    context: PositiveCount | None = Field(
        default=None, description="Tokens that its context window holds. Default: not known."
    )
    limits: RateLimitsEntry | None = Field(
        default=None, description="The provider's limits. Default: none is known."
    )
    shared: bool = Field(
        default=True,
        description="true: all pools that use it share its limits; false: each tenant has the "
        "limits for itself. Default true.",
    )
    price: PriceEntry | None = Field(
        default=None,
        description="Its price. Default: the price of this name in the maintained table.",
    )


class NodesEntry(Section):
    """The least and the most nodes of a class."""

    looks_like = "{min: 1, max: 25}"

    min: Replicas = Field(default=0, description="Never fewer nodes. Default 0.")
    max: Replicas | None = Field(
        default=None,
        description="The most that the node autoscaler may make. Default: it adds none.",
    )

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, most: int | None, info: ValidationInfo) -> int | None:
        return bounds_in_order(most, info.data.get("min", 0))


class NodeClassEntry(Section):
    """Nodes of one kind."""

    looks_like = "{selector: cloud.google.com/gke-spot=true, nodes: {max: 25}}"

    selector: LabelSelector | None = Field(
        default=None, description="Labels of its nodes. Default: all nodes of no other class."
    )
    nodes: NodesEntry = Field(
        default_factory=NodesEntry,
        description="How many there may be. Default: as many as there are.",
    )


class CapacityEntry(Section):
    """The most that the whole fleet may use. The room of the nodes is a limit too, if agentdash may
    list them.
    """

    looks_like = '{replicas: 100, cpu: "96", memory: 400Gi}'

    replicas: Replicas | None = Field(default=None, description="Replicas. Default: no limit.")
    cpu: Cpu | None = Field(
        default=None, description='Cores as Kubernetes writes them: "96". Default: no limit.'
    )
    memory: Memory | None = Field(
        default=None, description='Memory as Kubernetes writes it: "400Gi". Default: no limit.'
    )
    usd_per_hour: Usd | None = Field(
        default=None, description="The most that all replicas may cost. Default: no limit."
    )
    node_classes: dict[DnsLabel, NodeClassEntry] = Field(
        default_factory=dict,
        description="Kinds of nodes by name; a pool's nodes names them.",
        json_schema_extra=NO_OTHER_NAMES,
    )
