"""Requests to the three metrics APIs. Amounts in answers become thousandths, rounded up as in
Quantity.MilliValue.

Paths and meanings: k8s.io/metrics pkg/client, as kubernetes
pkg/controller/podautoscaler/metrics/client.go uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote

import durationpy
import msgspec

from controller.kube import metrics_wire
from controller.kube.client import Client
from controller.kube.errors import ApiError, KubeError, UnreadableError
from controller.kube.pod_times import unix_seconds
from controller.kube.wire import WireQuantity
from controller.model.decoding import UndecodableError, decoded
from controller.model.limits import MILLI
from controller.model.metrics import PodFigure
from controller.model.readings import Why
from controller.model.rights import CUSTOM_GROUP, EXTERNAL_GROUP, RESOURCE_GROUP
from controller.model.text import clean, clean_name
from controller.notation.quantity import exact_amount, rounded_up

# newest first; the HPA instead uses the version that the adapter prefers
_CUSTOM_VERSIONS: Final = ("v1beta2", "v1beta1")
_WINDOW_S: Final = 60.0
"""The window if an adapter gives none (HPA: metricServerDefaultMetricWindow)."""

T = TypeVar("T")
_Item = TypeVar("_Item")


class MissingApiError(KubeError):
    """No server of the cluster serves this API."""

    why = Why.OBJECT_MISSING

    def __init__(self, group: str) -> None:
        super().__init__(f"the API {group} is not installed")


class NoMetricError(KubeError):
    """The API answered without a value."""

    why = Why.INCOMPLETE


class ImplausibleMetricError(UnreadableError):
    """A number that a metric cannot have: negative, or above int64."""

    why = Why.IMPLAUSIBLE


class PodSample(msgspec.Struct, frozen=True):
    """The use of one pod, by container and resource, in thousandths; `at` is the end of the window
    (Unix seconds).
    """

    pod: str
    containers: dict[str, dict[str, int]]
    at: float
    window_s: float


class DescribedObject(NamedTuple):
    """The object that a metric is about; an empty `api_version` is the core group."""

    namespace: str
    api_version: str
    kind: str
    name: str


class MetricsApi:
    """The metrics APIs of one cluster. Plurals and versions from discovery are cached.

    Every method may raise KubeError, at the latest after `timeout_s` for each request.
    """

    def __init__(self, client: Client, pod_selector: str = "") -> None:
        """`pod_selector` is a label selector for the pods to request; empty for all pods."""
        self._client = client
        self._pod_selector = pod_selector
        self._custom_version: str | None = None
        self._plurals: dict[tuple[str, str], str] = {}

    async def pod_samples(self, namespace: str, timeout_s: float) -> dict[str, PodSample]:
        """The resource use of the pods of a namespace, by pod. An unreadable pod is left out, like
        one that was not measured.
        """
        path = f"/apis/{RESOURCE_GROUP}/v1beta1/namespaces/{_part(namespace)}/pods"
        raw = await self._get(path, RESOURCE_GROUP, timeout_s, labelSelector=self._pod_selector)
        return {sample.pod: sample for sample in _each(raw, _pod_sample)}

    async def external(
        self, namespace: str, metric: str, selector: str, timeout_s: float
    ) -> tuple[int, ...]:
        """The series of an external metric, in thousandths. If one cannot be read, it raises,
        because the sum counts.
        """
        path = f"/apis/{EXTERNAL_GROUP}/v1beta1/namespaces/{_part(namespace)}/{_part(metric)}"
        raw = await self._get(path, EXTERNAL_GROUP, timeout_s, labelSelector=selector)
        values = tuple(map(_external_value, _items(raw)))
        if not values:
            raise NoMetricError(f"there is no series of {clean_name(metric)}")
        return values

    async def pod_figures(
        self, namespace: str, metric: str, selector: str, timeout_s: float
    ) -> dict[str, PodFigure]:
        """A custom metric of the pods of a namespace, by pod. An unreadable pod is left out, like
        one without this metric.
        """
        path = f"{await self._custom(timeout_s)}/namespaces/{_part(namespace)}/pods/*"
        raw = await self._get(
            f"{path}/{_part(metric)}",
            CUSTOM_GROUP,
            timeout_s,
            labelSelector=self._pod_selector,
            metricLabelSelector=selector,
        )
        return {figure.pod: figure for figure in _each(raw, _pod_figure)}

    async def object_figure(
        self, described: DescribedObject, metric: str, selector: str, timeout_s: float
    ) -> int:
        """A custom metric of one object, in thousandths."""
        path = f"{await self._custom(timeout_s)}/{await self._path(described, timeout_s)}"
        raw = await self._get(
            f"{path}/{_part(metric)}", CUSTOM_GROUP, timeout_s, metricLabelSelector=selector
        )
        items = _items(raw)
        if len(items) != 1:
            raise NoMetricError(f"{len(items)} values of {clean_name(metric)}, one is wanted")
        return _amount(_decoded(metrics_wire.METRIC_VALUE, items[0]).value)

    async def _path(self, described: DescribedObject, timeout_s: float) -> str:
        namespace, api_version, kind, name = described
        if kind == "Namespace" and api_version in {"", "v1"}:
            return f"namespaces/{_part(name)}/metrics"  # a namespace is not in a namespace
        resource = await self._plural(api_version or "v1", kind, timeout_s)
        return f"namespaces/{_part(namespace)}/{_part(resource)}/{_part(name)}"

    async def _plural(self, api_version: str, kind: str, timeout_s: float) -> str:
        """A resource as the API names it: `services`, or `ingresses.networking.k8s.io`."""
        known = self._plurals.get((api_version, kind))
        if known is not None:
            return known
        group = api_version.rpartition("/")[0]
        root = f"/apis/{quote(api_version, safe='/')}" if group else f"/api/{_part(api_version)}"
        raw = await self._get(root, api_version, timeout_s)
        for resource in _decoded(metrics_wire.RESOURCE_LIST, raw).resources:
            if resource.kind == kind and "/" not in resource.name:
                found = f"{resource.name}.{group}" if group else resource.name
                self._plurals[api_version, kind] = found
                return found
        raise NoMetricError(f"{clean_name(api_version)} has no kind {clean_name(kind)}")

    async def _custom(self, timeout_s: float) -> str:
        """The path of the custom metrics API in the newest version that we support."""
        if self._custom_version is None:
            raw = await self._get(f"/apis/{CUSTOM_GROUP}", CUSTOM_GROUP, timeout_s)
            served = {each.version for each in _decoded(metrics_wire.GROUP, raw).versions}
            known = [version for version in _CUSTOM_VERSIONS if version in served]
            if not known:
                raise UnreadableError(
                    f"{CUSTOM_GROUP} is served only in versions that are not known here"
                )
            self._custom_version = known[0]
        return f"/apis/{CUSTOM_GROUP}/{self._custom_version}"

    async def _get(self, path: str, group: str, timeout_s: float, **query: str) -> bytes:
        chosen = {name: value for name, value in query.items() if value}
        try:
            return await self._client.call(
                "GET", path, kind=group, query=chosen, timeout_s=timeout_s
            )
        except ApiError as error:
            # a 404 without a reason is the API server's own "no such path"
            if error.status == 404 and not error.reason:
                self._custom_version = None
                raise MissingApiError(group) from error
            raise


def _part(text: str) -> str:
    return quote(text, safe="")


def _items(raw: bytes) -> list[msgspec.Raw]:
    return _decoded(metrics_wire.ITEMS, raw).items


def _each(raw: bytes, read: Callable[[msgspec.Raw], _Item]) -> Iterator[_Item]:
    """The items that can be read."""
    for item in _items(raw):
        try:
            found = read(item)
        except UnreadableError:
            continue
        yield found


def _decoded(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw | bytes) -> T:
    try:
        return decoded(decoder, raw)
    except UndecodableError as error:
        raise UnreadableError(str(error)) from error


def _pod_sample(raw: msgspec.Raw) -> PodSample:
    found = _decoded(metrics_wire.POD_METRICS, raw)
    return PodSample(
        pod=clean_name(found.metadata.name),
        containers={
            clean_name(container.name): {
                clean_name(resource): _amount(used) for resource, used in container.usage.items()
            }
            for container in found.containers
        },
        at=_moment(found.timestamp),
        window_s=_window(found.window),
    )


def _pod_figure(raw: msgspec.Raw) -> PodFigure:
    found = _decoded(metrics_wire.METRIC_VALUE, raw)
    window = found.window if found.window_seconds is None else found.window_seconds
    return PodFigure(
        pod=clean_name(found.described_object.name),
        value_milli=_amount(found.value),
        at=_moment(found.timestamp),
        window_s=_WINDOW_S if window is None else float(window),
    )


def _external_value(raw: msgspec.Raw) -> int:
    return _amount(_decoded(metrics_wire.EXTERNAL_VALUE, raw).value)


def _amount(written: WireQuantity) -> int:
    try:
        return rounded_up(exact_amount(written), MILLI)
    except ValueError as error:
        raise ImplausibleMetricError(str(error)) from error


def _moment(written: str) -> float:
    at = unix_seconds(written)
    if at is None:
        raise UnreadableError(f"{clean(written, 40)!r} is no time")
    return at


def _window(written: str) -> float:
    try:
        return float(durationpy.from_str(written).total_seconds())
    except (durationpy.DurationError, ValueError, OverflowError) as error:
        raise UnreadableError(f"{clean(written, 40)!r} is no duration") from error
