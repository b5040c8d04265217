"""The kinds that this API serves, with names, verbs, short names and hashes of a 1.36 server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_WRITE = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A part of an object with an address of its own, such as `scale`."""

    name: str
    kind: str
    verbs: tuple[str, ...] = READ_WRITE
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind of object. `zero` is the body of Go's zero value, which bookmarks carry."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    hash: str = ""
    generations: bool = False
    watch_cached: bool = True
    zero: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as messages name a resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """`deployment`."""
        return self.kind.lower()

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name, if this resource has one."""
        return next((sub for sub in self.subresources if sub.name == name), None)


_SCALE = Subresource("scale", "Scale", group="autoscaling", version="v1")
_TEMPLATE_ZERO: Mapping[str, Any] = {"metadata": {}, "spec": {"containers": None}}
_RBAC = ("rbac.authorization.k8s.io", "v1")


def _status(kind: str) -> Subresource:
    return Subresource("status", kind)


CONFIG_MAPS = Resource(
    "",
    "v1",
    "configmaps",
    "ConfigMap",
    short_names=("cm",),
    hash="qFsyl6wFWjQ=",
    watch_cached=False,
)
EVENTS = Resource("", "v1", "events", "Event", short_names=("ev",), hash="r2yiGXH7wu8=")
NAMESPACES = Resource(
    "",
    "v1",
    "namespaces",
    "Namespace",
    namespaced=False,
    short_names=("ns",),
    verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    subresources=(_status("Namespace"),),
    hash="Q3oi5N2YM8M=",
    zero={"spec": {}, "status": {}},
)
NODES = Resource(
    "",
    "v1",
    "nodes",
    "Node",
    namespaced=False,
    short_names=("no",),
    subresources=(_status("Node"),),
    hash="XwShjMxG9Fs=",
    zero={"spec": {}, "status": {}},
)
PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    short_names=("po",),
    categories=("all",),
    subresources=(
        Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
        Subresource("log", "Pod", ("get",)),
        _status("Pod"),
    ),
    hash="xPOwRZ+Yhw8=",
    generations=True,
    zero={"spec": {"containers": None}, "status": {}},
)
RESOURCE_QUOTAS = Resource(
    "",
    "v1",
    "resourcequotas",
    "ResourceQuota",
    short_names=("quota",),
    subresources=(_status("ResourceQuota"),),
    hash="8uhSgffRX6w=",
    zero={"spec": {}, "status": {}},
)
SERVICE_ACCOUNTS = Resource(
    "",
    "v1",
    "serviceaccounts",
    "ServiceAccount",
    short_names=("sa",),
    subresources=(
        Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),
    ),
    hash="pbx9ZvyFpBE=",
)
DEPLOYMENTS = Resource(
    "apps",
    "v1",
    "deployments",
    "Deployment",
    short_names=("deploy",),
    categories=("all",),
    subresources=(_SCALE, _status("Deployment")),
    hash="8aSe+NMegvE=",
    generations=True,
    zero={
        "spec": {"replicas": 0, "selector": None, "template": _TEMPLATE_ZERO, "strategy": {}},
        "status": {},
    },
)
REPLICA_SETS = Resource(
    "apps",
    "v1",
    "replicasets",
    "ReplicaSet",
    short_names=("rs",),
    categories=("all",),
    subresources=(_SCALE, _status("ReplicaSet")),
    hash="P1RzHs8/mWQ=",
    generations=True,
    zero={
        "spec": {"replicas": 0, "selector": None, "template": _TEMPLATE_ZERO},
        "status": {"replicas": 0},
    },
)
STATEFUL_SETS = Resource(
    "apps",
    "v1",
    "statefulsets",
    "StatefulSet",
    short_names=("sts",),
    categories=("all",),
    subresources=(_SCALE, _status("StatefulSet")),
    hash="H+vl74LkKdo=",
    generations=True,
    zero={
        "spec": {
            "replicas": 0,
            "selector": None,
            "template": _TEMPLATE_ZERO,
            "serviceName": "",
            "updateStrategy": {},
        },
        "status": {"replicas": 0, "availableReplicas": 0},
    },
)
EVENTS_V1 = Resource("events.k8s.io", "v1", "events", "Event", short_names=("ev",))
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
    verbs=("create",),
)
AUTOSCALERS = Resource(
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
    short_names=("hpa",),
    categories=("all",),
    subresources=(_status("HorizontalPodAutoscaler"),),
    zero={
        "spec": {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0},
        "status": {"desiredReplicas": 0, "currentMetrics": None},
    },
)
DISRUPTION_BUDGETS = Resource(
    "policy",
    "v1",
    "poddisruptionbudgets",
    "PodDisruptionBudget",
    short_names=("pdb",),
    subresources=(_status("PodDisruptionBudget"),),
    generations=True,
    zero={
        "spec": {},
        "status": {
            "disruptionsAllowed": 0,
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "expectedPods": 0,
        },
    },
)
CLUSTER_ROLE_BINDINGS = Resource(
    *_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
CLUSTER_ROLES = Resource(*_RBAC, "clusterroles", "ClusterRole", namespaced=False)
ROLE_BINDINGS = Resource(*_RBAC, "rolebindings", "RoleBinding")
ROLES = Resource(*_RBAC, "roles", "Role")
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io",
    "v1",
    "priorityclasses",
    "PriorityClass",
    namespaced=False,
    short_names=("pc",),
    generations=True,
    zero={"value": 0},
)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", zero={"spec": {}})

SCALED_OBJECTS = Resource(
    "keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", short_names=("so",), generations=True
)

# In the order of the real server: by group, then by name.
RESOURCES: tuple[Resource, ...] = (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    EVENTS_V1,
    ACCESS_REVIEWS,
    AUTOSCALERS,
    DISRUPTION_BUDGETS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    PRIORITY_CLASSES,
    LEASES,
)
CUSTOM_RESOURCES: tuple[Resource, ...] = (SCALED_OBJECTS,)
"""Served like the kinds of a CustomResourceDefinition without a schema, and left out of discovery,
which is that of a server without any."""
BY_PATH: Mapping[tuple[str, str, str], Resource] = {
    (resource.group, resource.version, resource.plural): resource
    for resource in (*RESOURCES, *CUSTOM_RESOURCES)
}


def stored_as(resource: Resource) -> Resource:
    """The resource under which these objects are stored: events.k8s.io/v1 shows core events."""
    return EVENTS if resource is EVENTS_V1 else resource
