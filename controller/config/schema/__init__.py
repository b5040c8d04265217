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
from controller.config.schema.section import NO_OTHER_NAMES, Section, value_of
from controller.config.schema.tenants import (
    CapacityEntry,
    ModelEntry,
    TenantEntry,
    TierEntry,
    default_tiers,
)
from controller.model.fleet import Fleet, Tier
from controller.model.settings import ControllerSettings, Settings


class FleetFile(Section):
    """The whole file."""

    looks_like = "version: 1"

    version: Literal[1]
    """The version of this format: 1."""
    nats: NatsEntry
    """Where the queues are."""
    kubernetes: KubernetesEntry = Field(default_factory=KubernetesEntry)
    """Where the Deployments are. Default: as kubectl finds it."""
    prometheus: PrometheusEntry | None = None
    """Where signals of Prometheus are read. Default: none."""
    controller: ControllerEntry = Field(default_factory=ControllerEntry)
    """The controller's settings."""
    tiers: dict[DnsLabel, TierEntry] = Field(
        default_factory=default_tiers, json_schema_extra=NO_OTHER_NAMES
    )
    """Ranks of tenants by name. Default: enterprise 1000, growth 500, starter 100."""
    models: dict[ModelName, ModelEntry] = Field(
        default_factory=dict, json_schema_extra=NO_OTHER_NAMES
    )
    """Language models by name: their providers' limits, and their prices."""
    tenants: dict[DnsLabel, TenantEntry] = Field(
        default_factory=dict, json_schema_extra=NO_OTHER_NAMES
    )
    """Customers by name."""
    capacity: CapacityEntry = Field(default_factory=CapacityEntry)
    """The most the whole fleet may take. Default: no limit but the nodes."""
    pools: list[PoolEntry] = Field(default_factory=list)
    """The pools of agents to scale."""

    def value(self) -> Settings:
        """The settings of a file whose names have been checked."""
        tiers = {name: value_of(one, Tier, name=name) for name, one in self.tiers.items()}
        tenants = {name: one.value(name, tiers[one.tier]) for name, one in self.tenants.items()}
        fleet = Fleet(
            tiers=tuple(tiers.values()),
            tenants=tuple(tenants.values()),
            pools=tuple(one.value(tenants[one.tenant]) for one in self.pools),
            models=tuple(one.value(name) for name, one in self.models.items()),
            capacity=self.capacity.value(),
        )
        lease = self.controller.lease.value(self.nats.bucket)
        controller = value_of(self.controller, ControllerSettings, lease=lease)
        return value_of(self, Settings, fleet=fleet, controller=controller)
