"""What Kubernetes must let us do, and who else writes there.

`Right`: the rights that a fleet needs, each with its reason: the one list from which the printed
Roles, the checks of `agentdash doctor` and the table in docs/pages/on-a-cluster.md come. A new kind
of request
needs its right here; the test of the printed Roles names a request without a right, and a
right without a request. `Writer`: who writes `spec.replicas`, as the API server notes it in
managedFields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.model.fleet import ExternalSeries, Pool
from controller.model.ids import WorkloadKind
from controller.model.lease import LeaseStore
from controller.model.metrics import (
    QUEUE,
    ContainerResourceMetric,
    ExternalMetric,
    ObjectMetric,
    PodsMetric,
    ResourceMetric,
)
from controller.model.settings import LeaseSettings, Settings
from controller.model.value import Value

RESOURCE_GROUP: Final = "metrics.k8s.io"
EXTERNAL_GROUP: Final = "external.metrics.k8s.io"
CUSTOM_GROUP: Final = "custom.metrics.k8s.io"


class Right(Value):
    """One rule of a Role: these verbs on these resources of one API group.

    `names` limits it to objects of these names. `without` says what happens where an optional right
    is missing; it is empty for a right without which the fleet is not scaled.
    """

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    reason: str
    names: tuple[str, ...] = ()
    without: str = ""

    def asked(self) -> Iterator[tuple[str, str]]:
        """Each (verb, resource) that it allows."""
        for resource in self.resources:
            for verb in self.verbs:
                yield verb, resource


MARKING: Final = Right(
    group="",
    resources=("pods",),
    verbs=("patch",),
    reason="the deletion cost of pods whose workers are drained",
    without="Kubernetes chooses which pods of a Deployment go, and a finding says so",
)
"""Where a pool is a Deployment; the ordinals of a StatefulSet say which of its pods go."""
READING: Final = (
    Right(
        group="",
        resources=("pods",),
        verbs=("list", "watch"),
        reason="starting, unschedulable and crashing pods",
    ),
    Right(
        group="",
        resources=("events",),
        verbs=("list", "watch"),
        reason="the cluster's warnings on the *why* screen",
        without="*why* shows none of the cluster's warnings",
    ),
    Right(
        group="",
        resources=("resourcequotas",),
        verbs=("list", "watch"),
        reason="what the namespace's quota leaves for replicas",
        without="the namespace's quota is no limit, and a finding says so",
    ),
    Right(
        group="autoscaling",
        resources=("horizontalpodautoscalers",),
        verbs=("list", "watch"),
        reason="a pool that an HPA scales is left to it from the start",
        without="such a pool is left to it only after three fights",
    ),
    Right(
        group="keda.sh",
        resources=("scaledobjects",),
        verbs=("list", "watch"),
        reason="a pool that KEDA scales is left to it from the start",
        without="such a pool is left to it only after three fights",
    ),
)
"""In each tenant's namespace, for every controller."""
WRITING: Final = (
    Right(
        group="events.k8s.io",
        resources=("events",),
        verbs=("create", "patch"),
        reason="`kubectl describe` of a workload says why a size changed or was refused",
        without="it says nothing, and a finding says so",
    ),
)
"""In each tenant's namespace, for a controller that is not read-only."""
LOOKING: Final = (
    Right(
        group="",
        resources=("pods/log",),
        verbs=("get",),
        reason="`l` on a pod shows its last lines",
        without="that key says why not; the daemon never needs it",
    ),
)
"""In each tenant's namespace, for a person at a dashboard; the daemon does not have it."""
CLUSTER: Final = (
    Right(
        group="",
        resources=("nodes",),
        verbs=("list", "watch"),
        reason="how many replicas fit on the nodes",
        without="only the fleet file's `capacity` limits, and a finding says so",
    ),
    Right(
        group="",
        resources=("namespaces",),
        verbs=("list", "watch"),
        reason="the freeze annotation of a namespace",
        without="only that of workloads counts, and a finding says so",
    ),
)
"""In the whole cluster, because nodes and namespaces are in no namespace."""


def workload_rights(kinds: Iterable[WorkloadKind], *, read_only: bool) -> Iterator[Right]:
    """What workloads of these kinds need: nothing for a kind that no pool names."""
    for kind in sorted(set(kinds)):
        yield Right(
            group="apps",
            resources=(kind.plural,),
            verbs=("get", "list", "watch"),
            reason="what to scale and how it is",
        )
        if not read_only:
            yield Right(
                group="apps",
                resources=(f"{kind.plural}/scale",),
                verbs=("patch",),
                reason="sets the replicas",
            )
            if kind is WorkloadKind.DEPLOYMENT:
                yield MARKING


def tenant_rights(settings: Settings, namespace: str) -> tuple[Right, ...]:
    """What a controller needs in this namespace of a tenant."""
    writing = () if settings.controller.read_only else WRITING
    pools = [pool for pool in settings.fleet.pools if pool.namespace == namespace]
    workloads = workload_rights(
        (pool.workload.kind for pool in pools), read_only=settings.controller.read_only
    )
    return (*workloads, *READING, *writing, *_metric_rights(pools))


def cluster_rights(settings: Settings) -> tuple[Right, ...]:
    """What a controller needs in the whole cluster: of the namespaces, only its tenants'."""
    names = tuple(sorted({pool.namespace for pool in settings.fleet.pools}))
    return tuple(
        replace(right, names=names) if right.resources == ("namespaces",) else right
        for right in CLUSTER
    )


def lease_rights(lease: LeaseSettings) -> tuple[Right, ...]:
    """What a controller that may lead needs in the lease's namespace; nothing without a Lease."""
    if lease.store is not LeaseStore.KUBERNETES:
        return ()
    resources = ("leases",)
    return (
        Right(
            group="coordination.k8s.io",
            resources=resources,
            verbs=("get", "patch"),
            reason="which controller leads",
            names=(lease.name,),
        ),
        Right(
            group="coordination.k8s.io",
            resources=resources,
            verbs=("watch",),
            reason="a stopped leader is replaced at once",
            names=(lease.name,),
            without="it is replaced after `retry`",
        ),
        Right(
            group="coordination.k8s.io",
            resources=resources,
            verbs=("create",),  # RBAC cannot limit a creation to a name
            reason="the first controller creates the Lease",
        ),
    )


def _metric_rights(pools: Iterable[Pool]) -> Iterator[Right]:
    """What the metrics of these pools need: exactly their names, no wildcard."""
    used: set[tuple[str, str]] = set()
    for pool in pools:
        used |= set(_metrics(pool))
    for group, verb, reason in (
        (RESOURCE_GROUP, "list", "CPU and memory of the pools' pods"),
        (EXTERNAL_GROUP, "list", "signals of the external metrics API"),
        (CUSTOM_GROUP, "get", "metrics of type Pods or Object"),
    ):
        resources = sorted({resource for found, resource in used if found == group})
        if resources:
            yield Right(
                group=group,
                resources=tuple(resources),
                verbs=(verb,),
                reason=reason,
                without="these metrics are unknown: they take nothing away, and a finding says so",
            )


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


FIELD_MANAGER: Final = "agentdash"
"""Our own name as a writer."""


class Writer(NamedTuple):
    """A writer of sizes: what people call it, and what to do so that it leaves sizes to agentdash.

    `restores`: it goes on restoring the size of a manifest, however often others change it.
    """

    title: str
    to_do: str
    restores: bool = False


_ARGO_CD: Final = Writer(
    "Argo CD",
    "remove spec.replicas from the manifest, or list /spec/replicas under ignoreDifferences of the"
    " Application, with the sync option RespectIgnoreDifferences=true",
    restores=True,
)
_HELM: Final = Writer(
    "Helm", "leave spec.replicas out of the chart, so that upgrades keep the size"
)
_HPA: Final = Writer(
    "a HorizontalPodAutoscaler", "delete it, or take the pool out of the fleet file"
)
_UNKNOWN: Final = Writer(
    "", "remove its other autoscaler, or freeze the pool while somebody works on it"
)
_KUBECTL: Final = Writer(
    "a person or a script", "freeze the pool while somebody works on it, or pin or cap it instead"
)
_WRITERS: Final = {
    FIELD_MANAGER: Writer(
        "another agentdash", "stop one of the two, or let both use the same lease"
    ),
    # argoproj/argo-cd common.go ArgoCDSSAManager; before 2.5 the name of its program
    "argocd-controller": _ARGO_CD,
    "argocd-application-controller": _ARGO_CD,
    # fluxcd/kustomize-controller and fluxcd/helm-controller, main.go controllerName
    "kustomize-controller": Writer(
        "Flux", "remove spec.replicas from the manifests of its Kustomization", restores=True
    ),
    "helm-controller": Writer(
        "Flux",
        "leave spec.replicas out of the chart, or list /spec/replicas under driftDetection.ignore"
        " of its HelmRelease",
        restores=True,
    ),
    "helm": _HELM,
    "Helm": _HELM,
    "kube-controller-manager": _HPA,
    "keda": Writer("KEDA", "delete its ScaledObject, or take the pool out of the fleet file"),
}
_KUBECTL_PREFIX: Final = "kubectl"
_APPLY: Final = "Apply"
"""managedFields: the operation of a server-side apply, which owns what its manifest has."""


def writer(manager: str) -> Writer:
    """The writer with this field manager; one without a title if it is not a known one."""
    if manager.startswith(_KUBECTL_PREFIX):  # kubectl, kubectl-edit, kubectl-client-side-apply, …
        return _KUBECTL
    return _WRITERS.get(manager, _UNKNOWN)


def named(manager: str) -> str:
    """The writer as text: `argocd-controller (Argo CD)`; `another writer` if it is not known."""
    if not manager:
        return "another writer"
    title = writer(manager).title
    return f"{manager} ({title})" if title else manager


def reset_by(manager: str, operation: str) -> str:
    """What to do about an owner of `spec.replicas` that sets it back to a manifest's whenever it is
    synchronised, upgraded or applied; empty for one that does not. `operation` is that of its entry
    in managedFields.
    """
    found = writer(manager)
    if found.restores or found is _HELM:
        return found.to_do
    if operation == _APPLY:
        # Kubernetes, server-side apply, "Transferring ownership"
        return (
            "remove spec.replicas from the manifest that is applied, once agentdash has set the"
            " size: before that, applying without it sets 1"
        )
    return ""
