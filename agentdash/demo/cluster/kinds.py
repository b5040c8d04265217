"""The kinds of object that the simulated API serves, and its refusals in the real server's words.

StatusError
├── 400 bad_request      404 not_found                    409 already_exists, conflict
├── 403 forbidden        405 method_not_allowed           410 expired
└── 415 unsupported_media_type                            422 invalid        500 internal
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of object: where its paths begin, and its name in bodies and messages."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True
    has_generations: bool = False

    @property
    def group_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as messages name a kind."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


EVENTS = Kind("", "v1", "events", "Event")
NAMESPACES = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Kind("", "v1", "nodes", "Node", namespaced=False)
PODS = Kind("", "v1", "pods", "Pod", has_generations=True)
RESOURCE_QUOTAS = Kind("", "v1", "resourcequotas", "ResourceQuota")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment", has_generations=True)
REPLICA_SETS = Kind("apps", "v1", "replicasets", "ReplicaSet", has_generations=True)
STATEFUL_SETS = Kind("apps", "v1", "statefulsets", "StatefulSet", has_generations=True)
EVENTS_V1 = Kind("events.k8s.io", "v1", "events", "Event")
"""The same events as EVENTS, with other names of their fields."""
AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SCALED_OBJECTS = Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease")

KINDS: Final[Mapping[tuple[str, str, str], Kind]] = {
    (kind.group, kind.version, kind.plural): kind
    for kind in (
        EVENTS,
        NAMESPACES,
        NODES,
        PODS,
        RESOURCE_QUOTAS,
        DEPLOYMENTS,
        REPLICA_SETS,
        STATEFUL_SETS,
        EVENTS_V1,
        AUTOSCALERS,
        SCALED_OBJECTS,
        LEASES,
    )
}
"""By API group, version and plural. Of AUTOSCALERS and SCALED_OBJECTS, nothing scales here."""
SCALABLE: Final = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS)


class StatusError(Exception):
    """An answer other than success, with the Status that the real server sends."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details, self.retry_after = details, retry_after

    def status(self) -> Object:
        """The body: a Status without empty keys."""
        body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = dict(self.details)
        return body | {"code": self.code}


def details_of(kind: Kind, name: str = "") -> dict[str, str]:
    """`details` with name, group and kind, which is the plural here."""
    shown = {"name": name, "group": kind.group, "kind": kind.plural}
    return {key: value for key, value in shown.items() if value}


def bad_request(message: str) -> StatusError:
    """400 for what cannot be read."""
    return StatusError(400, "BadRequest", message)


def forbidden(kind: Kind, name: str, why: str) -> StatusError:
    """403 for one object or, with no name, for all of a kind."""
    shown = f'{kind.qualified} "{name}"' if name else kind.qualified
    return StatusError(403, "Forbidden", f"{shown} is forbidden: {why}", details_of(kind, name))


def not_found(kind: Kind, name: str) -> StatusError:
    """404 for an object."""
    message = f'{kind.qualified} "{name}" not found'
    return StatusError(404, "NotFound", message, details_of(kind, name))


def method_not_allowed() -> StatusError:
    """405 for a verb that a kind does not have."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def already_exists(kind: Kind, name: str) -> StatusError:
    """409 for a second creation."""
    message = f'{kind.qualified} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, details_of(kind, name))


def conflict(kind: Kind, name: str) -> StatusError:
    """409 for a stale version."""
    message = (
        f'Operation cannot be fulfilled on {kind.qualified} "{name}": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )
    return StatusError(409, "Conflict", message, details_of(kind, name))


def expired(message: str) -> StatusError:
    """410 for a version that is no longer kept."""
    return StatusError(410, "Expired", message)


def unsupported_media_type() -> StatusError:
    """415 for a patch of an unknown kind."""
    return StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def invalid(name: str, group: str, kind: str, field: str, words: str) -> StatusError:
    """422 with the one field that is wrong."""
    message = f'{kind}.{group} "{name}" is invalid: {field}: {words}'
    causes = [{"reason": "FieldValueInvalid", "message": words, "field": field}]
    details = {"name": name, "group": group, "kind": kind, "causes": causes}
    return StatusError(422, "Invalid", message, details)


def internal(message: str) -> StatusError:
    """500 without a reason, which the real server answers where it has none."""
    return StatusError(500, "", message)
