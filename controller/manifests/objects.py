"""All objects of one fleet, in the order in which they can be applied."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from controller.manifests.alerts import prometheus_rule
from controller.manifests.dockerfile import Installation, ManifestError
from controller.manifests.tenants import access, network, tenant_objects
from controller.manifests.workload import namespace, workload
from controller.manifests.yaml_text import Manifest
from controller.model.settings import Settings

KINDS: Final = (
    "Namespace",
    "PriorityClass",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "Service",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Deployment",
    "ServiceMonitor",
    "PrometheusRule",
)


def manifests(
    settings: Settings, fleet_text: str, options: Installation, kinds: Collection[str] = KINDS
) -> tuple[Manifest, ...]:
    """The objects of these kinds; `fleet_text` is the fleet file that `settings` are read from. The
    same arguments give the same objects in the same order.

    Raises ManifestError where there is no pool to scale, or the fleet file cannot run in a Pod.
    """
    if not settings.fleet.pools:
        raise ManifestError(
            "the fleet file has no pools, so there is nothing to give agentdash rights for: add "
            "one under pools"
        )
    found = (
        *namespace(settings, options),
        *tenant_objects(settings),
        *access(settings, options),
        *network(settings, options),
        *workload(settings, fleet_text, options),
        *((prometheus_rule(options),) if options.service_monitor else ()),
    )
    order = {kind: number for number, kind in enumerate(KINDS)}
    chosen = (each for each in found if each.kind in kinds)
    return tuple(sorted(chosen, key=lambda each: order[each.kind]))
