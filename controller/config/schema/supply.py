"""What all tenants share: the cluster's capacity, and the models with their limits and prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from controller.config.numbers import Cpu, Memory, ShareBelowOne, Usd
from controller.config.scalars import DnsLabel, LabelSelector
from controller.config.schema.section import (
    NO_OTHER_NAMES,
    PositiveCount,
    Replicas,
    Section,
    bounds_in_order,
)


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
