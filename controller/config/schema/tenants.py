"""Tiers and tenants: which are served first, and how much each may use and spend."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict

from controller.config.scalars import (
    NO_OTHER_NAMES,
    Cpu,
    DnsLabel,
    Factor,
    LabelSelector,
    Memory,
    PositiveCount,
    Replicas,
    Section,
    Share,
    ShareBelowOne,
    TimeZone,
    Usd,
    Wait,
    Weight,
    WholeCount,
    max_not_below_min,
    value_of,
)
from controller.model.fleet import Tenant, Tier
from controller.model.scarcity import ONE, Capacity, LlmModel, NodeClass, Price, Resources


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


MAX_PRIORITY: Final = 1_000_000_000
"""The highest that Kubernetes allows a PriorityClass of a user."""


class BlindEntry(Section, looks_like="hold, or {after: 10m, replicas: 2}"):
    """What happens to a pool whose queue cannot be read for some time."""

    after_s: Wait = Field(alias="after")
    """How long the queue was not read: a duration."""
    replicas: Replicas
    """The pool is then raised to at least this many replicas, never lowered."""


def _or_hold(schema: JsonDict) -> None:
    options = schema["anyOf"]
    if isinstance(options, list):
        options.append({"const": "hold"})


class TierEntry(Section, looks_like="{priority: 500}"):
    """A rank of tenants."""

    priority: int = Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)
    """The tier with the higher priority is served first."""
    blind: Annotated[
        BlindEntry | None, BeforeValidator(lambda written: None if written == "hold" else written)
    ] = Field(default=None, json_schema_extra=_or_hold)
    """What happens to a pool while its queue cannot be read: hold keeps its size; {after, replicas}
    raises it. Default hold.
    """


class QuotaEntry(Section, looks_like='{replicas: 20, cpu: "16", memory: 64Gi}'):
    """The most that a tenant's pools may use together."""

    replicas: Replicas | None = None
    """Replicas. Default: no limit."""
    cpu_milli: Cpu | None = Field(default=None, alias="cpu")
    """Cores as Kubernetes writes them: "16", "500m". Default: no limit."""
    memory_bytes: Memory | None = Field(default=None, alias="memory")
    """Memory as Kubernetes writes it: "64Gi". Default: no limit."""


class TokenCountEntry(Section, looks_like="{input: 1, output: 1, cached_input: 0.1}"):
    """How much a token of each kind counts against the budget."""

    input: Factor = ONE
    """An input token. Default 1."""
    output: Factor = ONE
    """An output token. Default 1."""
    cached_input: Factor = Decimal("0.1")
    """An input token read from the cache. Default 0.1."""


class BudgetEntry(Section, looks_like="{tokens_per_day: 5000000}"):
    """The tokens per day and the money of a tenant."""

    tokens_per_day: WholeCount | None = None
    """Tokens from midnight to midnight, local time. Default: no limit."""
    count: TokenCountEntry = Field(default_factory=TokenCountEntry)
    """How much a token of each kind counts against them. Default: 1, 1, 0.1."""
    warn: Share = Decimal("0.8")
    """Share of the day's tokens at which to warn. Default 0.8."""
    hard: bool = True
    """true: at 100 % the target is 0; false: warn only. Default true."""
    pacing: Literal["never", "on_warning", "always"] = "on_warning"
    """When the tenant is slowed down so that its tokens last the day. Default on_warning."""
    usd_per_hour: Usd | None = None
    """The most that its replicas may cost. Default: no limit."""
    usd_alert: Usd | None = None
    """USD per hour at which to alert, at most usd_per_hour. Default: none."""
    usd_per_workflow: Usd | None = None
    """The most that one workflow may cost. Default: no limit."""

    @field_validator("usd_alert")
    @classmethod
    def _alert_before_the_limit(cls, alert: Decimal, info: ValidationInfo) -> Decimal:
        limit = info.data.get("usd_per_hour")
        if limit is not None and alert > limit:
            raise ValueError(f"must be at most usd_per_hour ({limit}), or it never alerts")
        return alert


class TenantEntry(Section, looks_like="{tier: growth}"):
    """A customer."""

    tier: str
    """The name of one of the tiers."""
    namespace: DnsLabel | None = None
    """The namespace of its Deployments. Default: the tenant's name."""
    weight: Weight = ONE
    """Its share inside its tier, relative to other weights. Default 1."""
    timezone: TimeZone = "UTC"
    """IANA name of its time zone. Default UTC."""
    quota: QuotaEntry = Field(default_factory=QuotaEntry)
    """The most that its pools may use together; the ResourceQuota of its namespace is a limit too.
    Default: no limit.
    """
    budget: BudgetEntry = Field(default_factory=BudgetEntry)
    """Its tokens and its money. Default: no limit."""

    def value(self, name: str, tier: Tier) -> Tenant:
        """The tenant of this name; the tier is the one that it names."""
        return value_of(self, Tenant, name=name, tier=tier, namespace=self.namespace or name)


def default_tiers() -> dict[str, TierEntry]:
    """The tiers of a fleet file that has no key `tiers`."""
    priorities = {"enterprise": 1000, "growth": 500, "starter": 100}
    return {name: TierEntry(priority=priority) for name, priority in priorities.items()}


class RateLimitsEntry(Section, looks_like="{requests_per_minute: 600}"):
    """A provider's limits for one API key."""

    requests_per_minute: PositiveCount | None = None
    """Requests per minute. Default: no limit."""
    tokens_per_minute: PositiveCount | None = None
    """Input and output tokens per minute together, where the provider counts so. Default: no limit.
    """
    input_tokens_per_minute: PositiveCount | None = None
    """Input tokens per minute. Default: no limit."""
    output_tokens_per_minute: PositiveCount | None = None
    """Output tokens per minute. Default: no limit."""
    parallel: PositiveCount | None = None
    """Requests at the same time. Default: no limit."""
    burst: PositiveCount | None = None
    """Requests at once after a pause. Default: they are spread evenly."""
    headroom: ShareBelowOne = Decimal(0)
    """Share of the limits per minute that is left unused. Default 0."""


class PriceEntry(Section, looks_like="{input: 2.50, output: 10.00}"):
    """The price of a model, in USD per million tokens."""

    input: Usd
    """USD per million input tokens."""
    output: Usd
    """USD per million output tokens."""
    cached_input: Usd | None = None
    """USD per million input tokens read from the cache. Default: as input."""


class ModelEntry(Section, looks_like="{tier: standard}"):
    """One model of a provider."""

    tier: Literal["nano", "standard", "premium"] = "standard"
    """How capable it is. Default standard."""
    context_tokens: PositiveCount | None = Field(default=None, alias="context")
    """Tokens that its context window holds. Default: not known."""
    limits: RateLimitsEntry | None = None
    """The provider's limits. Default: none is known."""
    shared: bool = True
    """true: all pools that use it share its limits; false: each tenant has the limits for itself.
    Default true.
    """
    price: PriceEntry | None = None
    """Its price. Default: the price of this name in the maintained table."""

    def value(self, name: str) -> LlmModel:
        """The model of this name. Without a price in the file it has the maintained table's."""
        price = self.price or table_price(name)
        return value_of(self, LlmModel, name=name, price=price)


class NodesEntry(Section, looks_like="{min: 1, max: 25}"):
    """The least and the most nodes of a class."""

    min: Replicas = 0
    """Never fewer nodes. Default 0."""
    max: Replicas | None = None
    """The most that the node autoscaler may make. Default: it adds none."""

    _order = max_not_below_min(default_min=0)


class NodeClassEntry(
    Section, looks_like="{selector: cloud.google.com/gke-spot=true, nodes: {max: 25}}"
):
    """Nodes of one kind."""

    selector: LabelSelector | None = None
    """Labels of its nodes. Default: all nodes of no other class."""
    nodes: NodesEntry = Field(default_factory=NodesEntry)
    """How many there may be. Default: as many as there are."""

    def value(self, name: str) -> NodeClass:
        """The class of this name."""
        return value_of(
            self, NodeClass, name=name, min_nodes=self.nodes.min, max_nodes=self.nodes.max
        )


class CapacityEntry(QuotaEntry, looks_like='{replicas: 100, cpu: "96", memory: 400Gi}'):
    """The most that the whole fleet may use. The room of the nodes is a limit too, if agentdash may
    list them.
    """

    usd_per_hour: Usd | None = None
    """The most that all replicas may cost. Default: no limit."""
    node_classes: dict[DnsLabel, NodeClassEntry] = Field(
        default_factory=dict, json_schema_extra=NO_OTHER_NAMES
    )
    """Kinds of nodes by name; a pool's nodes names them."""

    def value(self) -> Capacity:
        """What the whole fleet may use."""
        classes = tuple(one.value(name) for name, one in self.node_classes.items())
        return value_of(self, Capacity, resources=value_of(self, Resources), node_classes=classes)
