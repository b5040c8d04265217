"""The rights that a fleet needs in Kubernetes, each with its reason: the one list from which the
printed Roles, the checks of `agentdash doctor` and the table in docs/pages/on-a-cluster.md come.

A new kind of request needs its right here; the test of the printed Roles names a request without a
right, and a right without a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from controller.model.fleet import (
    QUEUE,
    ContainerResourceMetric,
    ExternalMetric,
    ExternalSeries,
    ObjectMetric,
    PodsMetric,
    Pool,
    ResourceMetric,
)
from controller.model.ids import WorkloadKind
from controller.model.servers import CUSTOM_GROUP, EXTERNAL_GROUP, RESOURCE_GROUP
from controller.model.settings import LeaseSettings, LeaseStore, Settings


class Right(NamedTuple):
    """One rule of a Role: these verbs on these resources of one API group.

    `without` says what happens where an optional right is missing; it is empty for a right without
    which the fleet is not scaled. `names` limits it to objects of these names.
    """

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    reason: str
    without: str = ""
    names: tuple[str, ...] = ()

    def asked(self) -> Iterator[tuple[str, str]]:
        """Each (verb, resource) that it allows."""
        for resource in self.resources:
            for verb in self.verbs:
                yield verb, resource


_SEEN: Final = ("list", "watch")
_LEFT_LATE: Final = "such a pool is left to it only after three fights"
# where a pool is a Deployment; the ordinals of a StatefulSet say which of its pods go
_MARKING: Final = Right(
    "",
    ("pods",),
    ("patch",),
    "the deletion cost of pods whose workers are drained",
    "Kubernetes chooses which pods of a Deployment go, and a finding says so",
)
READING: Final = (
    Right("", ("pods",), _SEEN, "starting, unschedulable and crashing pods"),
    Right(
        "",
        ("events",),
        _SEEN,
        "the cluster's warnings on the *why* screen",
        "*why* shows none of the cluster's warnings",
    ),
    Right(
        "",
        ("resourcequotas",),
        _SEEN,
        "what the namespace's quota leaves for replicas",
        "the namespace's quota is no limit, and a finding says so",
    ),
    Right(
        "autoscaling",
        ("horizontalpodautoscalers",),
        _SEEN,
        "a pool that an HPA scales is left to it from the start",
        _LEFT_LATE,
    ),
    Right(
        "keda.sh",
        ("scaledobjects",),
        _SEEN,
        "a pool that KEDA scales is left to it from the start",
        _LEFT_LATE,
    ),
)
"""In each tenant's namespace, for every controller."""
WRITING: Final = Right(
    "events.k8s.io",
    ("events",),
    ("create", "patch"),
    "`kubectl describe` of a workload says why a size changed or was refused",
    "it says nothing, and a finding says so",
)
"""In each tenant's namespace, for a controller that is not read-only."""
LOOKING: Final = Right(
    "",
    ("pods/log",),
    ("get",),
    "`l` on a pod shows its last lines",
    "that key says why not; the daemon never needs it",
)
"""In each tenant's namespace, for a person at a dashboard; the daemon does not have it."""
NODES: Final = Right(
    "",
    ("nodes",),
    _SEEN,
    "how many replicas fit on the nodes",
    "only the fleet file's `capacity` limits, and a finding says so",
)
NAMESPACES: Final = Right(
    "",
    ("namespaces",),
    _SEEN,
    "the freeze annotation of a namespace",
    "only that of workloads counts, and a finding says so",
)


def workload_rights(kinds: Iterable[WorkloadKind], *, read_only: bool) -> Iterator[Right]:
    """What workloads of these kinds need: nothing for a kind that no pool names."""
    for kind in sorted(set(kinds)):
        verbs = ("get", "list", "watch")
        yield Right("apps", (kind.plural,), verbs, "what to scale and how it is")
        if not read_only:
            yield Right("apps", (f"{kind.plural}/scale",), ("patch",), "sets the replicas")
            if kind is WorkloadKind.DEPLOYMENT:
                yield _MARKING


def tenant_rights(settings: Settings) -> dict[str, tuple[Right, ...]]:
    """What a controller needs in each namespace that a pool is in."""
    pools: dict[str, list[Pool]] = {}
    for pool in settings.fleet.pools:
        pools.setdefault(pool.namespace, []).append(pool)
    no_writes = settings.controller.read_only
    rest = READING if no_writes else (*READING, WRITING)
    return {
        namespace: (
            *workload_rights((each.workload.kind for each in there), read_only=no_writes),
            *rest,
            *_metric_rights(there),
        )
        for namespace, there in pools.items()
    }


def cluster_rights(settings: Settings) -> tuple[Right, ...]:
    """A controller's cluster-wide needs: nodes, and of namespaces only its tenants'."""
    names = tuple(sorted({pool.namespace for pool in settings.fleet.pools}))
    return NODES, NAMESPACES._replace(names=names)


def lease_rights(lease: LeaseSettings) -> tuple[Right, ...]:
    """What a controller that may lead needs in the lease's namespace; nothing without a Lease."""
    if lease.store is not LeaseStore.KUBERNETES:
        return ()
    group, leases, name = "coordination.k8s.io", ("leases",), (lease.name,)
    watched, otherwise = "a stopped leader is replaced at once", "it is replaced after `retry`"
    return (
        Right(group, leases, ("get", "patch"), "which controller leads", names=name),
        Right(group, leases, ("watch",), watched, otherwise, names=name),
        # RBAC cannot limit a creation to a name
        Right(group, leases, ("create",), "the first controller creates the Lease"),
    )


_METRIC_APIS: Final = (
    (RESOURCE_GROUP, "list", "CPU and memory of the pools' pods"),
    (EXTERNAL_GROUP, "list", "signals of the external metrics API"),
    (CUSTOM_GROUP, "get", "metrics of type Pods or Object"),
)
_UNKNOWN: Final = "these metrics are unknown: they take nothing away, and a finding says so"


def _metric_rights(pools: Iterable[Pool]) -> Iterator[Right]:
    """What the metrics of these pools need: exactly their names, no wildcard."""
    used = {asked for pool in pools for asked in _metrics(pool)}
    for group, verb, reason in _METRIC_APIS:
        resources = sorted({resource for found, resource in used if found == group})
        if resources:
            yield Right(group, tuple(resources), (verb,), reason, _UNKNOWN)


def _metrics(pool: Pool) -> Iterator[tuple[str, str]]:
    """The (group, resource) of each metric that another server answers, as RBAC names it."""
    signals = {QUEUE, *(signal.name for signal in pool.signals)}
    for signal in pool.signals:
        if isinstance(signal.source, ExternalSeries):
            yield EXTERNAL_GROUP, signal.source.name
    for metric in pool.metrics:
        match metric:
            case ResourceMetric() | ContainerResourceMetric():
                yield RESOURCE_GROUP, "pods"
            case ExternalMetric(name=name) if name not in signals:
                yield EXTERNAL_GROUP, name
            case PodsMetric(name=name):
                yield CUSTOM_GROUP, f"pods/{name}"
            case ObjectMetric(name=name):
                # RBAC wants the plural of the object's kind, which only the server knows
                yield CUSTOM_GROUP, f"*/{name}"
