"""Tables: columns and cells that `kubectl get` prints (kubernetes pkg/printers/internalversion)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentdash.demo.kubesim import resources as kinds
from agentdash.demo.kubesim.clock import age
from agentdash.demo.kubesim.controllers.pods import condition, restarts
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import Resource
from agentdash.demo.kubesim.selectors import as_query

_NAME_WORDS = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name "
    "automatically. Name is primarily intended for creation idempotence and configuration "
    "definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_AGE_WORDS = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is not guaranteed to be set in happens-before order across separate operations. Clients "
    "may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by "
    "the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_NOMINATED_WORDS = (
    "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot "
    "be scheduled right away as preemption victims receive their graceful termination periods. "
    "This field does not guarantee that the pod will be scheduled on this node. Scheduler may "
    "decide to place the pod elsewhere if other nodes become available sooner. Scheduler may "
    "also decide to give the resources on this node to a higher priority pod that is created "
    "after preemption. As a result, this field may be different than PodSpec.nodeName when the "
    "pod is scheduled."
)
_NODE_WORDS = (
    "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate "
    "for scheduling by the scheduler defined in schedulerName. Once this field is set, the "
    "kubelet for this node becomes responsible for the lifecycle of this pod. This field should "
    "not be used to express a desire for the pod to be scheduled on a specific node. "
    "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename"
)
_GATES_WORDS = (
    "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when "
    "all its containers are ready AND all conditions specified in the readiness gates have "
    'status equal to "True" More info: '
    "https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates"
)
_SELECTOR_WORDS = (
    "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the "
    "ones affected by this deployment. It must match the pod template's labels."
)
_NONE = "<none>"


def _column(name: str, words: str = "", *, wide: bool = False, kind: str = "string") -> Object:
    return {
        "name": name,
        "type": kind,
        "format": "name" if name == "Name" else "",
        "description": words,
        "priority": int(wide),
    }


_NAME_COLUMN, _AGE_COLUMN = _column("Name", _NAME_WORDS), _column("Age", _AGE_WORDS)


def _age(item: Object) -> str:
    return age(item["metadata"].get("creationTimestamp"))


def _pod(item: Object) -> list[Any]:
    spec, status = item["spec"], item["status"]
    states = status.get("containerStatuses") or ()
    ready = sum(bool(state.get("ready")) for state in states)
    return [
        item["metadata"]["name"],
        f"{ready}/{len(spec['containers'])}",
        pod_phrase(item),
        str(restarts(item)),
        _age(item),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        _NONE,
    ]


def pod_phrase(item: Object) -> str:
    """The Status column: Terminating, else a container's reason, else the phase."""
    status = item["status"]
    if "deletionTimestamp" in item["metadata"]:
        return "Terminating"
    for container in reversed(status.get("containerStatuses") or ()):
        for state in ("waiting", "terminated"):
            reason = (container["state"].get(state) or {}).get("reason")
            if reason:
                return str(reason)
    return str(status.get("reason") or status["phase"])


def _deployment(item: Object) -> list[Any]:
    spec, status = item["spec"], item.get("status") or {}
    containers = spec["template"]["spec"]["containers"]
    return [
        item["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec['replicas']}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(item),
        ",".join(container["name"] for container in containers),
        ",".join(container["image"] for container in containers),
        as_query(spec["selector"]),
    ]


def _stateful_set(item: Object) -> list[Any]:
    spec, status = item["spec"], item.get("status") or {}
    containers = spec["template"]["spec"]["containers"]
    return [
        item["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec['replicas']}",
        _age(item),
        ",".join(container["name"] for container in containers),
        ",".join(container["image"] for container in containers),
    ]


def _replica_set(item: Object) -> list[Any]:
    spec, status = item["spec"], item.get("status") or {}
    return [
        item["metadata"]["name"],
        spec["replicas"],
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _age(item),
    ]


def _node(item: Object) -> list[Any]:
    ready = condition(item, "Ready")
    phrase = "Ready" if ready and ready["status"] == "True" else "NotReady"
    if item["spec"].get("unschedulable"):
        phrase += ",SchedulingDisabled"
    role = item["metadata"].get("labels", {}).get("kubernetes.io/role") or _NONE
    version = item["status"]["nodeInfo"]["kubeletVersion"]
    return [item["metadata"]["name"], phrase, role, _age(item), version]


def _event(item: Object) -> list[Any]:
    involved = item["involvedObject"]
    seen = (item.get("series") or {}).get("lastObservedTime") or item.get("lastTimestamp")
    seen = seen or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    subject = f"{involved.get('kind', '').lower()}/{involved.get('name', '')}"
    message = str(item.get("message", "")).strip()
    name = item["metadata"]["name"]
    return [age(seen), item.get("type"), item.get("reason"), subject, message, name]


def _quota(item: Object) -> list[Any]:
    status = item.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    shown = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    limits = [text for name, text in shown.items() if name.startswith("limits.")]
    requests = [text for name, text in shown.items() if not name.startswith("limits.")]
    return [item["metadata"]["name"], ", ".join(requests), ", ".join(limits), _age(item)]


def _budget(item: Object) -> list[Any]:
    spec, status = item["spec"], item["status"]
    return [
        item["metadata"]["name"],
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        status["disruptionsAllowed"],
        _age(item),
    ]


def _autoscaler(item: Object) -> list[Any]:
    spec, status = item["spec"], item["status"]
    target = spec["scaleTargetRef"]
    return [
        item["metadata"]["name"],
        f"{target['kind']}/{target['name']}",
        ", ".join("<unknown>" for _ in spec.get("metrics") or ()) or _NONE,
        str(spec.get("minReplicas", "<unset>")),
        spec["maxReplicas"],
        status.get("currentReplicas", 0),
        _age(item),
    ]


def _binding(item: Object) -> list[Any]:
    reference = item["roleRef"]
    role = f"{reference['kind']}/{reference['name']}"
    return [item["metadata"]["name"], role, _age(item)]


def _named(*read: Callable[[Object], Any]) -> Callable[[Object], list[Any]]:
    return lambda item: [item["metadata"]["name"], *(each(item) for each in read), _age(item)]


Layout = tuple[Sequence[Object], Callable[[Object], list[Any]]]
_PLAIN_LAYOUT: Layout = ((_NAME_COLUMN, _AGE_COLUMN), _named())
_ROLE_COLUMN = _column("Role", "The role that is granted.")
_LAYOUTS: Mapping[Resource, Layout] = {
    kinds.PODS: (
        (
            _NAME_COLUMN,
            _column("Ready", "The aggregate readiness state of this pod for accepting traffic."),
            _column("Status", "The aggregate status of the containers in this pod."),
            _column(
                "Restarts",
                "The number of times the containers in this pod have been restarted and when the "
                "last container in this pod has restarted.",
            ),
            _AGE_COLUMN,
            _column(
                "IP",
                "podIP address allocated to the pod. Routable at least within the cluster. Empty "
                "if not yet allocated.",
                wide=True,
            ),
            _column("Node", _NODE_WORDS, wide=True),
            _column("Nominated Node", _NOMINATED_WORDS, wide=True),
            _column("Readiness Gates", _GATES_WORDS, wide=True),
        ),
        _pod,
    ),
    kinds.DEPLOYMENTS: (
        (
            _NAME_COLUMN,
            _column("Ready", "Number of the pod with ready state"),
            _column(
                "Up-to-date",
                "Total number of non-terminating pods targeted by this deployment that have the "
                "desired template spec.",
            ),
            _column(
                "Available",
                "Total number of available non-terminating pods (ready for at least "
                "minReadySeconds) targeted by this deployment.",
            ),
            _AGE_COLUMN,
            _column("Containers", "Names of each container in the template.", wide=True),
            _column("Images", "Images referenced by each container in the template.", wide=True),
            _column("Selector", _SELECTOR_WORDS, wide=True),
        ),
        _deployment,
    ),
    kinds.REPLICA_SETS: (
        (
            _NAME_COLUMN,
            *(_column(name, kind="integer") for name in ("Desired", "Current", "Ready")),
            _AGE_COLUMN,
        ),
        _replica_set,
    ),
    kinds.STATEFUL_SETS: (
        (
            _NAME_COLUMN,
            _column("Ready", "Number of the pod with ready state"),
            _AGE_COLUMN,
            _column("Containers", "Names of each container in the template.", wide=True),
            _column("Images", "Images referenced by each container in the template.", wide=True),
        ),
        _stateful_set,
    ),
    kinds.NODES: (
        (_NAME_COLUMN, _column("Status"), _column("Roles"), _AGE_COLUMN, _column("Version")),
        _node,
    ),
    kinds.NAMESPACES: (
        (_NAME_COLUMN, _column("Status"), _AGE_COLUMN),
        _named(lambda item: item["status"]["phase"]),
    ),
    kinds.EVENTS: (
        (
            *(_column(name) for name in ("Last Seen", "Type", "Reason", "Object", "Message")),
            _column("Name", _NAME_WORDS, wide=True),
        ),
        _event,
    ),
    kinds.RESOURCE_QUOTAS: (
        (_NAME_COLUMN, _column("Request"), _column("Limit"), _AGE_COLUMN),
        _quota,
    ),
    kinds.SERVICE_ACCOUNTS: (
        (_NAME_COLUMN, _column("Secrets"), _AGE_COLUMN),
        _named(lambda item: len(item.get("secrets") or ())),
    ),
    kinds.CONFIG_MAPS: (
        (_NAME_COLUMN, _column("Data"), _AGE_COLUMN),
        _named(lambda item: len(item.get("data") or {})),
    ),
    kinds.LEASES: (
        (_NAME_COLUMN, _column("Holder"), _AGE_COLUMN),
        _named(lambda item: (item.get("spec") or {}).get("holderIdentity", "")),
    ),
    kinds.PRIORITY_CLASSES: (
        (_NAME_COLUMN, _column("Value"), _column("Global-Default"), _AGE_COLUMN),
        _named(lambda item: item["value"], lambda item: bool(item.get("globalDefault"))),
    ),
    kinds.DISRUPTION_BUDGETS: (
        (
            _NAME_COLUMN,
            *(_column(name) for name in ("Min Available", "Max Unavailable")),
            _column("Allowed Disruptions"),
            _AGE_COLUMN,
        ),
        _budget,
    ),
    kinds.AUTOSCALERS: (
        (
            _NAME_COLUMN,
            *(_column(name) for name in ("Reference", "Targets", "MinPods", "MaxPods", "Replicas")),
            _AGE_COLUMN,
        ),
        _autoscaler,
    ),
    kinds.ROLE_BINDINGS: ((_NAME_COLUMN, _ROLE_COLUMN, _AGE_COLUMN), _binding),
    kinds.CLUSTER_ROLE_BINDINGS: ((_NAME_COLUMN, _ROLE_COLUMN, _AGE_COLUMN), _binding),
}


def columns(resource: Resource) -> list[Object]:
    """The column definitions of a resource's table."""
    return list(_LAYOUTS.get(resource, _PLAIN_LAYOUT)[0])


def row(resource: Resource, item: Object, include: str = "Metadata") -> Object:
    """One row: its cells, and as much of the object as `includeObject` asks for."""
    cells = _LAYOUTS.get(resource, _PLAIN_LAYOUT)[1](item)
    shown: Object | None = partial(item)
    if include == "None":
        shown = None
    elif include == "Object":
        head = {"kind": resource.kind, "apiVersion": resource.group_version}
        shown = head | item
    return {"cells": cells, "object": shown}


def partial(item: Object) -> Object:
    """The object's metadata alone."""
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return head | {"metadata": item["metadata"]}


def table(
    resource: Resource,
    items: Sequence[Object],
    metadata: Object,
    include: str = "Metadata",
    *,
    with_columns: bool = True,
) -> Object:
    """A whole table; a watch sends the columns only with its first event."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns(resource) if with_columns else None,
        "rows": [row(resource, item, include) for item in items],
    }
