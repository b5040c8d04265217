"""The shape of the fleet file, as pydantic models: the whole file here, its sections in the modules
beside this one.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from controller.config.scalars import DnsLabel, ModelName
from controller.config.schema.connections import (
    ControllerEntry,
    KubernetesEntry,
    NatsEntry,
    PrometheusEntry,
)
from controller.config.schema.pools import PoolEntry
from controller.config.schema.section import NO_OTHER_NAMES, Section
from controller.config.schema.tenants import (
    CapacityEntry,
    ModelEntry,
    TenantEntry,
    TierEntry,
    default_tiers,
)


class FleetFile(Section):
    """The whole file."""

    looks_like = "version: 1"

    version: Literal[1] = Field(description="The version of this format: 1.")
    nats: NatsEntry = Field(description="Where the queues are.")
    kubernetes: KubernetesEntry = Field(
        default_factory=KubernetesEntry,
        description="Where the Deployments are. Default: as kubectl finds it.",
    )
    prometheus: PrometheusEntry | None = Field(
        default=None, description="Where signals of Prometheus are read. Default: none."
    )
    controller: ControllerEntry = Field(
        default_factory=ControllerEntry, description="The controller's settings."
    )
    tiers: dict[DnsLabel, TierEntry] = Field(
        default_factory=default_tiers,
        description="Ranks of tenants by name. Default: enterprise 1000, growth 500, starter 100.",
        json_schema_extra=NO_OTHER_NAMES,
    )
    models: dict[ModelName, ModelEntry] = Field(
        default_factory=dict,
        description="Language models by name: their providers' limits, and their prices.",
        json_schema_extra=NO_OTHER_NAMES,
    )
    tenants: dict[DnsLabel, TenantEntry] = Field(
        default_factory=dict,
        description="Customers by name.",
        json_schema_extra=NO_OTHER_NAMES,
    )
    capacity: CapacityEntry = Field(
        default_factory=CapacityEntry,
        description="The most the whole fleet may take. Default: no limit but the nodes.",
    )
    pools: list[PoolEntry] = Field(
        default_factory=list, description="The pools of agents to scale."
    )
