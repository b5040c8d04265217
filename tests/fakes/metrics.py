"""The three metrics APIs, as metrics-server and the adapters of KEDA and Prometheus serve them. The
values are set by the test; an API is installed with its first value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias, TypeVar

import msgspec
from aiohttp import web

from agentdash.demo.cluster.api import Call, answer
from agentdash.demo.cluster.objects import KINDS, PODS, Object, label_selector, stamp
from fakes.cluster import SimCluster, StatusError, resource_of

RESOURCE = "metrics.k8s.io"
EXTERNAL = "external.metrics.k8s.io"
CUSTOM = "custom.metrics.k8s.io"
VERSIONS: Mapping[str, str] = {RESOURCE: "v1beta1", EXTERNAL: "v1beta1", CUSTOM: "v1beta2"}


class GivenUsage(msgspec.Struct):
    """What each running pod that the selector chooses uses, by container and resource."""

    namespace: str
    usage: dict[str, dict[str, str]]
    selector: str = ""
    window: str = "15s"


class GivenSeries(msgspec.Struct):
    """One series of an external metric; a series of the same labels is replaced."""

    namespace: str
    metric: str
    value: str
    labels: dict[str, str] = {}


class GivenPodValue(msgspec.Struct):
    """A custom metric of each running pod that the selector chooses."""

    namespace: str
    metric: str
    value: str
    selector: str = ""


class GivenObjectValue(msgspec.Struct):
    """A custom metric of one object. `resource` is its plural with its group
    (`deployments.apps`), or `namespaces`.
    """

    namespace: str
    resource: str
    name: str
    metric: str
    value: str


T = TypeVar("T", GivenUsage, GivenSeries, GivenPodValue, GivenObjectValue)
Given: TypeAlias = GivenUsage | GivenSeries | GivenPodValue | GivenObjectValue
_GROUP_OF: Mapping[type[Given], str] = {
    GivenUsage: RESOURCE,
    GivenSeries: EXTERNAL,
    GivenPodValue: CUSTOM,
    GivenObjectValue: CUSTOM,
}


class GivenMetrics:
    """An extension of a simulated API: the values that were set, as of the moment of a request."""

    def __init__(self, sim: SimCluster) -> None:
        self._sim = sim
        self._given: dict[tuple[object, ...], Given] = {}
        self._installed: set[str] = set()
        sim.extensions.append(self)

    def set(self, given: Given) -> None:
        """Set one value; it replaces an earlier one of the same metric."""
        self._installed.add(_GROUP_OF[type(given)])
        self._given[_subject(given)] = given

    def clear(self) -> None:
        """Forget all values; the APIs stay installed."""
        self._given.clear()

    def __call__(self, call: Call) -> web.Response | None:
        """Answer what is asked of an installed API, and which kinds a group has."""
        match call.path.strip("/").split("/"):
            case ["api", version]:
                return answer(200, _kinds_of("", version))
            case ["apis", group] if group in self._installed:
                return answer(200, {"versions": [{"version": VERSIONS[group]}]})
            case ["apis", group, version]:
                return answer(200, _kinds_of(group, version))
        if call.group not in self._installed:
            return None
        if call.version != VERSIONS[call.group]:
            raise StatusError(404, "NotFound", "no such version", {})
        reads = {RESOURCE: self._usages, EXTERNAL: self._series, CUSTOM: self._values}
        items = list(reads[call.group](call, call.query.get("labelSelector", "")))
        if not items and call.group == CUSTOM:
            words = f"the server could not find the metric {resource_of(call)}"
            raise StatusError(404, "NotFound", words, {})
        return answer(200, {"metadata": {}, "items": items})

    def _usages(self, call: Call, labels: str) -> Iterator[Object]:
        for given in self._of(GivenUsage, call.namespace):
            containers = [{"name": name, "usage": used} for name, used in given.usage.items()]
            for name in self._running(call.namespace, given.selector, labels):
                yield {
                    "metadata": {"name": name, "namespace": call.namespace},
                    "timestamp": stamp(),
                    "window": given.window,
                    "containers": containers,
                }

    def _series(self, call: Call, labels: str) -> Iterator[Object]:
        is_chosen = label_selector(labels)
        for given in self._of(GivenSeries, call.namespace):
            item = {"metadata": {"labels": given.labels}}
            if given.metric == call.plural and is_chosen(item):
                yield {
                    "metricName": given.metric,
                    "metricLabels": given.labels,
                    "timestamp": stamp(),
                    "value": given.value,
                }

    def _values(self, call: Call, labels: str) -> Iterator[Object]:
        resource, name, metric = call.plural, call.name, call.sub
        if resource == "metrics":  # of the namespace itself
            resource, name, metric = "namespaces", call.namespace, call.name
        if name == "*":
            for each in self._of(GivenPodValue, call.namespace):
                if each.metric == metric:
                    for pod in self._running(call.namespace, each.selector, labels):
                        yield _value("Pod", pod, metric, each.value)
            return
        for given in self._of(GivenObjectValue, call.namespace):
            if (given.resource, given.name, given.metric) == (resource, name, metric):
                yield _value("", given.name, metric, given.value)

    def _of(self, kind: type[T], namespace: str) -> Iterator[T]:
        for given in self._given.values():
            if isinstance(given, kind) and given.namespace == namespace:
                yield given

    def _running(self, namespace: str, *selectors: str) -> Iterator[str]:
        """The names of the running pods that all the selectors choose."""
        chosen = [label_selector(selector) for selector in selectors]
        for pod in self._sim.store.each(PODS, namespace):
            running = pod.object["status"].get("phase") == "Running"
            if running and all(selector(pod.object) for selector in chosen):
                yield pod.key[1]


def _value(kind: str, name: str, metric: str, value: str) -> Object:
    return {
        "describedObject": {"kind": kind, "name": name},
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


def _kinds_of(group: str, version: str) -> Object:
    found = [kind for kind in KINDS.values() if (kind.group, kind.version) == (group, version)]
    return {"resources": [{"name": kind.plural, "kind": kind.name} for kind in found]}
