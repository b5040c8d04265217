"""Known fields and types of request bodies: unknown fields are named and dropped.

Deployments, ReplicaSets, StatefulSets, Pods and Scales are described down to their containers. A
kind without a description keeps every field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentdash.demo.kubesim.objects import Object

ANY_TYPE: Final = "any"
INT32: Final = "int32"
INT64: Final = "int64"
STRING: Final = "string"
BOOL: Final = "bool"
Shape = str | Mapping[str, Any] | list[Any]
_LIMITS = {INT32: 2**31, INT64: 2**63}


def _fields(names: str, **described: Any) -> dict[str, Any]:
    return dict.fromkeys(names.split(), ANY_TYPE) | described


_METADATA = _fields(
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers "
    "generateName generation labels managedFields ownerReferences resourceVersion selfLink uid",
    name=STRING,
    namespace=STRING,
)
_CONTAINER = _fields(
    "args command env envFrom imagePullPolicy lifecycle livenessProbe ports readinessProbe "
    "resizePolicy restartPolicy restartPolicyRules startupProbe stdin stdinOnce "
    "terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts workingDir",
    name=STRING,
    image=STRING,
    resources=_fields("claims limits requests"),
    securityContext=ANY_TYPE,
)
_POD_SPEC = _fields(
    "affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks "
    "ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname "
    "hostnameOverride imagePullSecrets nodeName nodeSelector os overhead preemptionPolicy "
    "priority priorityClassName readinessGates resourceClaims resources restartPolicy "
    "runtimeClassName schedulerName schedulingGates securityContext serviceAccount "
    "serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain tolerations "
    "topologySpreadConstraints volumes workloadRef",
    activeDeadlineSeconds=INT64,
    terminationGracePeriodSeconds=INT64,
    containers=[_CONTAINER],
    initContainers=[_CONTAINER],
)
_TEMPLATE = {"metadata": _METADATA, "spec": _POD_SPEC}


def _kind(spec: Mapping[str, Any], status: Shape = ANY_TYPE) -> dict[str, Any]:
    head = {"apiVersion": STRING, "kind": STRING, "metadata": _METADATA}
    return head | {"spec": spec, "status": status}


SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "Scale": _kind({"replicas": INT32}, {"replicas": INT32, "selector": STRING}),
    "Deployment": _kind(
        _fields(
            "selector strategy",
            replicas=INT32,
            template=_TEMPLATE,
            minReadySeconds=INT32,
            revisionHistoryLimit=INT32,
            progressDeadlineSeconds=INT32,
            paused=BOOL,
        )
    ),
    "ReplicaSet": _kind(
        _fields("selector", replicas=INT32, template=_TEMPLATE, minReadySeconds=INT32)
    ),
    "StatefulSet": _kind(
        _fields(
            "selector ordinals persistentVolumeClaimRetentionPolicy podManagementPolicy "
            "updateStrategy volumeClaimTemplates",
            serviceName=STRING,
            replicas=INT32,
            template=_TEMPLATE,
            minReadySeconds=INT32,
            revisionHistoryLimit=INT32,
        )
    ),
    "Pod": _kind(_POD_SPEC),
}


@dataclass(frozen=True, slots=True)
class CheckedBody:
    """A body without its unknown fields, their paths, and the first wrong type in Go's words."""

    body: Object
    unknown: tuple[str, ...]
    wrong_type: str


def check(kind: str, body: Object) -> CheckedBody:
    """Check a body against the description of its kind."""
    schema = SCHEMAS.get(kind)
    if schema is None:
        return CheckedBody(body, (), "")
    unknown = tuple(_unknown(schema, body, ""))
    pruned = _prune(schema, body) if unknown else body
    wrong = next(_wrong_types(schema, body, "", kind), "")
    return CheckedBody(pruned, unknown, wrong)


def _unknown(shape: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, Mapping) and isinstance(value, dict):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            if key in shape:
                yield from _unknown(shape[key], inner, here)
            else:
                yield here
    elif isinstance(shape, list) and isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unknown(shape[0], inner, f"{path}[{index}]")


def _prune(shape: Any, value: Any) -> Any:
    if isinstance(shape, Mapping) and isinstance(value, dict):
        return {key: _prune(shape[key], inner) for key, inner in value.items() if key in shape}
    if isinstance(shape, list) and isinstance(value, list):
        return [_prune(shape[0], inner) for inner in value]
    return value


def _wrong_types(shape: Any, value: Any, path: str, owner: str) -> Iterator[str]:
    if value is None or shape == ANY_TYPE:
        return
    if isinstance(shape, Mapping) and isinstance(value, dict):
        for key, inner in value.items():
            if key in shape:
                within = f"{owner}{key.capitalize()}" if key in {"spec", "status"} else owner
                yield from _wrong_types(shape[key], inner, f"{path}.{key}" if path else key, within)
    elif isinstance(shape, list) and isinstance(value, list):
        for inner in value:
            yield from _wrong_types(shape[0], inner, path, owner)
    elif not _fits(shape, value):
        wanted = shape if isinstance(shape, str) else "object"
        yield (
            f"json: cannot unmarshal {_go_name(value, shape)} into Go struct field "
            f"{owner}.{path} of type {wanted}"
        )


def _fits(shape: Any, value: Any) -> bool:
    if shape in _LIMITS:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and -_LIMITS[shape] <= value < _LIMITS[shape]
    if shape == STRING:
        return isinstance(value, str)
    return isinstance(value, bool) if shape == BOOL else False


def _go_name(value: Any, shape: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if shape in _LIMITS else "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names[type(value)]
