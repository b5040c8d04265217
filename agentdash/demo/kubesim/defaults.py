"""What the API server fills in on creation (k8s.io/kubernetes/pkg/apis/*/v1/defaults.go)."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from typing import Any

from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import (
    AUTOSCALERS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    NAMESPACES,
    PODS,
    PRIORITY_CLASSES,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # apimachinery util/rand: no vowels, no 0 1 3
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def suffix(rng: random.Random) -> str:
    """The five letters at the end of a generated name."""
    return "".join(rng.choices(SUFFIX_LETTERS, k=5))


def fill_in(resource: Resource, item: Object) -> Object:
    """The object with the defaults of its kind. The argument may be changed."""
    fill = _FILLERS.get(resource)
    if fill is not None:
        fill(item)
    return item


def _namespace(item: Object) -> None:
    labels = item["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = item["metadata"]["name"]
    item["spec"] = {"finalizers": ["kubernetes"]}
    item["status"] = {"phase": "Active"}


def _pod_spec(spec: Object) -> None:
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        _container(container)
    _set(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )


def _container(container: Object) -> None:
    resources = container.setdefault("resources", {})
    if resources.get("limits"):
        # a limit without a request is a request of the same size
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    latest = container.get("image", "").rpartition(":")[2] in {"latest", container.get("image")}
    _set(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest else "IfNotPresent",
    )


def _set(target: Object, **defaults: Any) -> None:
    for name, value in defaults.items():
        if target.get(name) is None:
            target[name] = value


def _deployment(item: Object) -> None:
    spec = item["spec"]
    _set(spec, replicas=1)
    _pod_spec(spec["template"]["spec"])
    _set(spec["template"], metadata={})
    _set(spec, strategy={})
    strategy = spec["strategy"]
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy, rollingUpdate={})
        _set(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    _set(spec, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    item.setdefault("status", {})


def _replica_set(item: Object) -> None:
    _set(item["spec"], replicas=1)
    _pod_spec(item["spec"]["template"]["spec"])
    item.setdefault("status", {"replicas": 0})


def _stateful_set(item: Object) -> None:
    spec = item["spec"]
    _set(spec, replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10)
    _pod_spec(spec["template"]["spec"])
    _set(spec["template"], metadata={})
    _set(spec, updateStrategy={}, persistentVolumeClaimRetentionPolicy={}, serviceName="")
    _set(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _set(spec["updateStrategy"], rollingUpdate={})
        _set(spec["updateStrategy"]["rollingUpdate"], partition=0)
    _set(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    item.setdefault("status", {"replicas": 0, "availableReplicas": 0})


def _pod(item: Object) -> None:
    _pod_spec(item["spec"])
    _set(item["spec"], enableServiceLinks=True)
    item["status"] = {"phase": "Pending", "qosClass": qos_class(item["spec"])}


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, from the containers' requests and limits."""
    both = [container.get("resources") or {} for container in spec["containers"]]
    if not any(resources.get("requests") or resources.get("limits") for resources in both):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= (resources.get("limits") or {}).keys()
        and resources["limits"] == resources.get("requests")
        for resources in both
    )
    return "Guaranteed" if guaranteed else "Burstable"


def admit_pod(item: Object, rng: random.Random, priority: int) -> None:
    """Add what admission adds to a pod: account, token volume, tolerations, priority."""
    spec = item["spec"]
    account = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    if spec.get("automountServiceAccountToken") is not False:
        name = f"kube-api-access-{suffix(rng)}"
        spec["volumes"] = [*(spec.get("volumes") or ()), _token_volume(name)]
        mount = {
            "name": name,
            "readOnly": True,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }
        for container in spec["containers"]:
            container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    tolerations = spec.setdefault("tolerations", [])
    known = {toleration.get("key") for toleration in tolerations}
    tolerations.extend(
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in _TOLERATED
        if key not in known
    )
    spec["priority"] = priority
    _set(spec, preemptionPolicy="PreemptLowerPriority")


def _token_volume(name: str) -> Object:
    token = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    root = {
        "configMap": {
            "name": "kube-root-ca.crt",
            "items": [{"key": "ca.crt", "path": "ca.crt"}],
        }
    }
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    downward = {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}}
    return {"name": name, "projected": {"sources": [token, root, downward], "defaultMode": 420}}


def _autoscaler(item: Object) -> None:
    spec = item["spec"]
    _set(spec, minReplicas=1)
    behavior = spec.get("behavior")
    if behavior is not None:
        _scaling_rules(behavior.setdefault("scaleUp", {}), 0, (("Pods", 4), ("Percent", 100)))
        _scaling_rules(behavior.setdefault("scaleDown", {}), None, (("Percent", 100),))
    item["status"] = {"desiredReplicas": 0, "currentMetrics": None}


def _scaling_rules(
    rules: Object, window_s: int | None, policies: tuple[tuple[str, int], ...]
) -> None:
    if window_s is not None:
        _set(rules, stabilizationWindowSeconds=window_s)
    default = [{"type": kind, "value": value, "periodSeconds": 15} for kind, value in policies]
    _set(rules, selectPolicy="Max", policies=default)


def _budget(item: Object) -> None:
    item["status"] = dict(DISRUPTION_BUDGETS.zero["status"])


def _priority_class(item: Object) -> None:
    _set(item, preemptionPolicy="PreemptLowerPriority")


_FILLERS: Mapping[Resource, Callable[[Object], None]] = {
    NAMESPACES: _namespace,
    DEPLOYMENTS: _deployment,
    REPLICA_SETS: _replica_set,
    STATEFUL_SETS: _stateful_set,
    PODS: _pod,
    AUTOSCALERS: _autoscaler,
    DISRUPTION_BUDGETS: _budget,
    PRIORITY_CLASSES: _priority_class,
}


def empty_status(resource: Resource) -> Object | None:
    """The status of an object of this kind before its controller has seen it."""
    zero = resource.zero.get("status")
    return None if zero is None else copy.deepcopy(zero)
