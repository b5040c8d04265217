"""What the fleet file says of tenants, as objects that the cluster itself keeps to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from controller.manifests.options import NAME, ManifestError, metadata
from controller.manifests.yaml_text import Manifest, Noted
from controller.model.fleet import Fleet, Tenant
from controller.model.limits import MILLI
from controller.model.scarcity import Resources
from controller.model.settings import Settings

AGENT_LABEL: Final = "agentdash.dev/managed"
_MOST_PRIORITY: Final = 1_000_000_000
"""Above it are the classes of the system (HighestUserDefinablePriority)."""


def tenant_objects(settings: Settings) -> Iterator[Manifest]:
    """A PriorityClass for each tier that a tenant has; a ResourceQuota for each namespace whose
    tenants all have one in the fleet file; a headless Service for the agents of each namespace.

    Raises ManifestError for a priority that no PriorityClass can have.
    """
    yield from _priorities(settings.fleet)
    tenants: dict[str, list[Tenant]] = defaultdict(list)
    for tenant in settings.fleet.tenants:
        tenants[tenant.namespace].append(tenant)
    for namespace, found in tenants.items():
        hard = _hard([tenant.quota for tenant in found])
        if hard:
            yield _quota(namespace, hard)
    for namespace in dict.fromkeys(pool.namespace for pool in settings.fleet.pools):
        yield _meeting_place(namespace, settings.kubernetes.selector)


def _priorities(fleet: Fleet) -> Iterator[Manifest]:
    tiers = {tenant.tier.name: tenant.tier for tenant in fleet.tenants}
    for tier in sorted(tiers.values(), key=lambda tier: (-tier.priority, tier.name)):
        if abs(tier.priority) > _MOST_PRIORITY:
            raise ManifestError(
                f"tier {tier.name} has the priority {tier.priority}, and a PriorityClass has at "
                f"most {_MOST_PRIORITY:,}: give the tiers of the fleet file smaller numbers"
            )
        yield Manifest(
            f"For the pods of tenants in tier {tier.name}: priorityClassName in the Deployment.",
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": metadata(f"{NAME}-{tier.name}"),
                "value": tier.priority,
                "preemptionPolicy": Noted(
                    "a pod that waits is scheduled first, but ends no busy one: agentdash makes "
                    "room by lower targets, and busy replicas finish",
                    "Never",
                ),
                "description": f"Agents of tenants in tier {tier.name}.",
            },
        )


def _hard(quotas: list[Resources]) -> dict[str, str]:
    """The sum of what the tenants of one namespace may use; an amount without a limit for one of
    them is no limit.
    """
    hard: dict[str, str] = {}
    for name, field, units in (
        ("pods", "replicas", {"": 1}),
        ("requests.cpu", "cpu_milli", {"": MILLI, "m": 1}),
        ("requests.memory", "memory_bytes", {"Gi": 2**30, "Mi": 2**20, "": 1}),
    ):
        amounts = [getattr(quota, field) for quota in quotas]
        if None not in amounts:
            hard[name] = _quantity(sum(amounts), units)
    return hard


def _quantity(amount: int, units: Mapping[str, int]) -> str:
    """The amount in the first unit of which it is a whole number."""
    return next(f"{amount // size}{unit}" for unit, size in units.items() if amount % size == 0)


def _quota(namespace: str, hard: dict[str, str]) -> Manifest:
    return Manifest(
        f"The quota of the fleet file, as the API server keeps it in {namespace}. It counts all "
        "pods of the namespace, those of a rollout too; with a quota of CPU or memory it refuses "
        "pods that request none.",
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": metadata(NAME, namespace),
            "spec": {"hard": hard},
        },
    )


def _meeting_place(namespace: str, selector: str | None) -> Manifest:
    labels = _equalities(selector) or {AGENT_LABEL: "true"}
    words = ", ".join(f"{key}: {value}" for key, value in labels.items())
    return Manifest(
        f"Agents of {namespace} find each other by the DNS name agents.{namespace}: it answers "
        f"with the addresses of all ready pods that have the label {words}.",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata("agents", namespace),
            "spec": {"clusterIP": "None", "selector": labels},
        },
    )


def _equalities(selector: str | None) -> dict[str, str]:
    """The labels of a selector of equalities; none for any other selector."""
    labels: dict[str, str] = {}
    for requirement in (selector or "").split(","):
        key, equals, value = requirement.replace("==", "=").partition("=")
        if not equals or key.endswith("!") or "(" in requirement:
            return {}
        labels[key.strip()] = value.strip()
    return labels
