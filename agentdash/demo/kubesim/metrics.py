"""The three metrics APIs, as metrics-server and the adapters of KEDA and Prometheus serve them. The
values are set by the test; an API is installed with its first value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar
from urllib.parse import unquote

import msgspec

from agentdash.demo.kubesim.access import AccessControl, AccessRequest, User
from agentdash.demo.kubesim.calls import ApiCall, HttpAnswer, answer
from agentdash.demo.kubesim.clock import stamp
from agentdash.demo.kubesim.errors import StatusError, method_not_allowed, no_such_path
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import PODS
from agentdash.demo.kubesim.selectors import matches, parse_labels
from agentdash.demo.kubesim.store import Store

RESOURCE = "metrics.k8s.io"
EXTERNAL = "external.metrics.k8s.io"
CUSTOM = "custom.metrics.k8s.io"
VERSIONS: Mapping[str, str] = {RESOURCE: "v1beta1", EXTERNAL: "v1beta1", CUSTOM: "v1beta2"}


class GivenUsage(msgspec.Struct, tag_field="type", tag="usage", forbid_unknown_fields=True):
    """What each running pod that the selector chooses uses, by container and resource."""

    namespace: str
    usage: dict[str, dict[str, str]]
    selector: str = ""
    window: str = "15s"


class GivenSeries(msgspec.Struct, tag_field="type", tag="external", forbid_unknown_fields=True):
    """One series of an external metric; a series of the same labels is replaced."""

    namespace: str
    metric: str
    value: str
    labels: dict[str, str] = {}


class GivenPodValue(msgspec.Struct, tag_field="type", tag="pods", forbid_unknown_fields=True):
    """A custom metric of each running pod that the selector chooses."""

    namespace: str
    metric: str
    value: str
    selector: str = ""


class GivenObjectValue(msgspec.Struct, tag_field="type", tag="object", forbid_unknown_fields=True):
    """A custom metric of one object. `resource` is its plural with its group
    (`deployments.apps`), or `namespaces`.
    """

    namespace: str
    resource: str
    name: str
    metric: str
    value: str
    kind: str = ""


T = TypeVar("T", GivenUsage, GivenSeries, GivenPodValue, GivenObjectValue)
Given: TypeAlias = GivenUsage | GivenSeries | GivenPodValue | GivenObjectValue
_GROUP_OF: Mapping[type[Given], str] = {
    GivenUsage: RESOURCE,
    GivenSeries: EXTERNAL,
    GivenPodValue: CUSTOM,
    GivenObjectValue: CUSTOM,
}


@dataclass(frozen=True, slots=True)
class _MetricPath:
    """What a path below one of the APIs asks for. The resource is `pods` of metrics.k8s.io, an
    external metric, or `PLURAL/METRIC` of the object `name` (`*` for all pods).
    """

    group: str
    namespace: str
    resource: str
    name: str = ""

    @property
    def verb(self) -> str:
        """RBAC's verb: a path with a name, or `*`, is a get (NewRequestInfo, k8s.io/apiserver)."""
        return "get" if self.name else "list"


class GivenMetrics:
    """The values that were set, and answers made of them at the moment of the request."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._given: dict[tuple[object, ...], Given] = {}
        self._installed: set[str] = set()

    def set(self, given: Given) -> None:
        """Set one value; it replaces an earlier one of the same metric."""
        self._installed.add(_GROUP_OF[type(given)])
        self._given[_subject(given)] = given

    def clear(self) -> None:
        """Forget all values; the APIs stay installed."""
        self._given.clear()

    def concerns(self, call: ApiCall) -> bool:
        """Whether the path is one of an installed API."""
        parts = call.path.split("/")
        return len(parts) > 2 and parts[1] == "apis" and parts[2] in self._installed

    def admit(self, call: ApiCall, user: User, access: AccessControl) -> None:
        """Raise StatusError 403 unless the user may read this; all may read discovery."""
        place = _metric_path(call.path)
        if place is None:
            return
        asked = AccessRequest(place.verb, place.group, place.resource, place.namespace, place.name)
        if access.allowed_by(user, asked) is None:
            words = (
                f"{asked.resource}.{asked.group} is forbidden: "
                f'User "{user.name}" cannot {asked.verb} resource "{asked.resource}" in API group '
                f'"{asked.group}" in the namespace "{asked.namespace}"'
            )
            raise StatusError(
                403, "Forbidden", words, {"group": asked.group, "kind": asked.resource}
            )

    def serve(self, call: ApiCall) -> HttpAnswer:
        """Answer a GET; raises StatusError."""
        if call.method != "GET":
            raise method_not_allowed()
        place = _metric_path(call.path)
        if place is None:
            return answer(200, _discovered(call.path))
        read, kind = {
            RESOURCE: (self._usages, "PodMetricsList"),
            EXTERNAL: (self._series, "ExternalMetricValueList"),
            CUSTOM: (self._values, "MetricValueList"),
        }[place.group]
        items = list(read(place, call.query.get("labelSelector", "")))
        if not items and place.group == CUSTOM:
            words = f"the server could not find the metric {place.resource}"
            raise StatusError(404, "NotFound", words, {})
        version = f"{place.group}/{VERSIONS[place.group]}"
        return answer(200, {"kind": kind, "apiVersion": version, "metadata": {}, "items": items})

    def _usages(self, place: _MetricPath, labels: str) -> Iterator[Object]:
        for given in self._of(GivenUsage, place.namespace):
            containers = [
                {"name": container, "usage": used} for container, used in given.usage.items()
            ]
            for name in self._running(place.namespace, given.selector, labels):
                yield {
                    "metadata": {"name": name, "namespace": place.namespace},
                    "timestamp": stamp(),
                    "window": given.window,
                    "containers": containers,
                }

    def _series(self, place: _MetricPath, labels: str) -> Iterator[Object]:
        selector = parse_labels(labels)
        for given in self._of(GivenSeries, place.namespace):
            chosen = all(clause.matches(given.labels) for clause in selector)
            if given.metric == place.resource and chosen:
                yield {
                    "metricName": given.metric,
                    "metricLabels": given.labels,
                    "timestamp": stamp(),
                    "value": given.value,
                }

    def _values(self, place: _MetricPath, labels: str) -> Iterator[Object]:
        resource, _, metric = place.resource.partition("/")
        if place.name == "*":
            for each in self._of(GivenPodValue, place.namespace):
                if each.metric == metric:
                    for name in self._running(place.namespace, each.selector, labels):
                        yield _value(place.namespace, "Pod", name, metric, each.value)
            return
        for given in self._of(GivenObjectValue, place.namespace):
            if (given.resource, given.name, given.metric) == (resource, place.name, metric):
                yield _value(place.namespace, given.kind, given.name, metric, given.value)

    def _of(self, kind: type[T], namespace: str) -> Iterator[T]:
        for given in self._given.values():
            if isinstance(given, kind) and given.namespace == namespace:
                yield given

    def _running(self, namespace: str, *selectors: str) -> Iterator[str]:
        """The names of the running pods that all the selectors choose."""
        chosen = [parse_labels(selector) for selector in selectors]
        for pod in self._store.each(PODS, namespace):
            running = pod.object["status"].get("phase") == "Running"
            if running and all(matches(selector, pod.object) for selector in chosen):
                yield pod.key[1]


def _value(namespace: str, kind: str, name: str, metric: str, value: str) -> Object:
    return {
        "describedObject": {"kind": kind, "namespace": namespace, "name": name},
        "metric": {"name": metric, "selector": None},
        "timestamp": stamp(),
        "value": value,
    }


def _subject(given: Given) -> tuple[object, ...]:
    match given:
        case GivenUsage():
            return RESOURCE, given.namespace, given.selector
        case GivenSeries():
            return EXTERNAL, given.namespace, given.metric, *sorted(given.labels.items())
        case GivenPodValue():
            return CUSTOM, given.namespace, "pods", given.selector, given.metric
        case GivenObjectValue():
            return CUSTOM, given.namespace, given.resource, given.name, given.metric


def _metric_path(path: str) -> _MetricPath | None:
    """What a path asks for; None for a path of discovery. Raises StatusError 404."""
    match [unquote(part) for part in path.strip("/").split("/")]:
        case ["apis", _] | ["apis", _, _]:
            return None
        case ["apis", "metrics.k8s.io", "v1beta1", "namespaces", namespace, "pods"]:
            return _MetricPath(RESOURCE, namespace, "pods")
        case ["apis", "external.metrics.k8s.io", "v1beta1", "namespaces", namespace, metric]:
            return _MetricPath(EXTERNAL, namespace, metric)
        case ["apis", "custom.metrics.k8s.io", "v1beta2", "namespaces", name, "metrics", metric]:
            return _MetricPath(CUSTOM, name, f"namespaces/{metric}", name)
        case ["apis", "custom.metrics.k8s.io", "v1beta2", "namespaces", namespace, kind, name, it]:
            return _MetricPath(CUSTOM, namespace, f"{kind}/{it}", name)
    raise no_such_path()


def _discovered(path: str) -> Object:
    group = path.strip("/").split("/")[1]
    version = {"groupVersion": f"{group}/{VERSIONS[group]}", "version": VERSIONS[group]}
    if path.strip("/").count("/") == 1:
        shown = {"name": group, "versions": [version], "preferredVersion": version}
        return {"kind": "APIGroup", "apiVersion": "v1", **shown}
    if path.strip("/").split("/")[2] != VERSIONS[group]:
        raise no_such_path()
    return {"kind": "APIResourceList", "apiVersion": "v1", "resources": []} | {
        "groupVersion": version["groupVersion"]
    }
