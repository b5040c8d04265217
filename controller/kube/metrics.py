"""The metrics of pools from the three metrics APIs of a cluster."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from controller.kube import wire
from controller.kube.client import Client
from controller.kube.errors import ApiError, KubeError, UnreadableError
from controller.kube.wire import WireQuantity, unix_seconds
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
from controller.model.observation import (
    Figure,
    MetricValue,
    PodFigure,
    PodFigures,
    PodUsage,
    PodUsages,
    Series,
)
from controller.model.readings import Absent, Fresh, Why
from controller.model.servers import CUSTOM_GROUP, EXTERNAL_GROUP, RESOURCE_GROUP
from controller.model.text import clean, clean_name
from controller.model.value import MILLI, UndecodableError
from controller.notation.quantity import exact_amount, read_duration, rounded_up
from controller.planning.demand.hpa_metrics import reading_name
from controller.ports import Clock, MetricAnswer, MetricKey, MetricSource, Workloads

# newest first; the HPA instead uses the version that the adapter prefers
_CUSTOM_VERSIONS: Final = ("v1beta2", "v1beta1")
_WINDOW_S: Final = 60.0
"""The window if an adapter gives none (HPA: metricServerDefaultMetricWindow)."""

W = TypeVar("W", bound=wire.WireObject)
_OfPod = TypeVar("_OfPod", PodUsage, PodFigure)


class MetricsApiError(KubeError):
    """The API gives no plausible value of a metric; `why` and the message go into the reading."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


class MetricQuestion(NamedTuple):
    """A request for one metric in a namespace: of all its pods, or of one object. `described` is
    the object's API version (empty for the core group), its kind and its name.
    """

    namespace: str
    metric: str
    selector: str = ""
    described: tuple[str, str, str] | None = None


def _part(text: str) -> str:
    return quote(text, safe="")


def _items(raw: bytes) -> list[msgspec.Raw]:
    return _decoded(wire.WireItems, raw).items


def _by_pod(raw: bytes, read: Callable[[msgspec.Raw], _OfPod]) -> dict[str, _OfPod]:
    """The items by their pods, without those that cannot be read, as if not measured."""
    found: dict[str, _OfPod] = {}
    for item in _items(raw):
        with suppress(UnreadableError, MetricsApiError):
            each = read(item)
            found[each.pod] = each
    return found


def _decoded(kind: type[W], raw: msgspec.Raw | bytes) -> W:
    try:
        return kind.of(raw)
    except UndecodableError as error:
        raise UnreadableError(str(error)) from error


def _pod_usage(raw: msgspec.Raw, resource: str) -> PodUsage:
    found = _decoded(wire.WirePodMetrics, raw)
    used = {clean_name(each.name): each.usage.get(resource) for each in found.containers}
    try:
        window_s = read_duration(found.window)
    except ValueError as error:
        raise UnreadableError(f"{clean(found.window, 40)!r} is no duration") from error
    return PodUsage(
        pod=clean_name(found.metadata.name),
        containers={name: each if each is None else _amount(each) for name, each in used.items()},
        at=_moment(found.timestamp),
        window_s=window_s,
    )


def _pod_figure(raw: msgspec.Raw) -> PodFigure:
    found = _decoded(wire.WireMetricValue, raw)
    window = found.window if found.window_seconds is None else found.window_seconds
    return PodFigure(
        pod=clean_name(found.described_object.name),
        value_milli=_amount(found.value),
        at=_moment(found.timestamp),
        window_s=_WINDOW_S if window is None else float(window),
    )


def _amount(written: WireQuantity) -> int:
    try:
        return rounded_up(exact_amount(written), MILLI)
    except ValueError as error:
        raise MetricsApiError(Why.IMPLAUSIBLE, str(error)) from error


def _moment(written: str) -> float:
    at = unix_seconds(written)
    if at is None:
        raise UnreadableError(f"{clean(written, 40)!r} is no time")
    return at


REQUESTS_AT_ONCE: Final = 8
"""The limit for one source, so that a round does not delay other requests to the API server."""
REQUESTS_PER_SECOND: Final = 10
"""The average limit for one source: a fleet with very many metrics is read less often."""
RESOURCE_EVERY_S: Final = 15.0
"""The default of metrics-server's --metric-resolution: more frequent reads give nothing new."""

Wanting: TypeAlias = Mapping[MetricKey, Pool]
"""The metrics that one request is for, each with its pool."""


class ApiMetricSource(ABC):
    """A `MetricSource` for one API. A question is one request, for the metrics of any pools.

    Only a complete answer is Fresh; a refusal, a time-out or an implausible number is Absent.
    """

    name: str
    """The API's group."""
    _least_s = 0.0
    _version: str | None = None  # from discovery

    def __init__(
        self,
        client: Client,
        pools: Iterable[Pool],
        clock: Clock,
        workloads: Workloads,
        pod_selector: str = "",
    ) -> None:
        """`pod_selector` is a label selector for the pods to request; empty for all pods."""
        self._client = client
        self._clock = clock
        self._workloads = workloads
        self._pod_selector = pod_selector
        self._wanting: defaultdict[MetricQuestion, dict[MetricKey, Pool]] = defaultdict(dict)
        for pool in pools:
            for question, name in self._questions(pool):
                self._wanting[question][MetricKey(pool.key, name)] = pool

    @property
    def reads(self) -> Collection[MetricKey]:
        """The metrics that `read` answers."""
        return tuple(key for wanting in self._wanting.values() for key in wanting)

    @property
    def every_s(self) -> float:
        """The least time between two rounds, in seconds."""
        return max(self._least_s, len(self._wanting) / REQUESTS_PER_SECOND)

    async def read(self, timeout_s: float) -> Mapping[MetricKey, MetricAnswer]:
        """An answer for each metric, dated before the first request. Raises nothing."""
        at = self._clock.now()
        gate = asyncio.Semaphore(REQUESTS_AT_ONCE)
        deadline = asyncio.get_running_loop().time() + timeout_s
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._answer(question, wanting, gate, deadline, at))
                for question, wanting in self._wanting.items()
            ]
        return {key: answer for task in tasks for key, answer in task.result().items()}

    async def _answer(
        self,
        question: MetricQuestion,
        wanting: Wanting,
        gate: asyncio.Semaphore,
        deadline: float,
        at: float,
    ) -> Mapping[MetricKey, MetricAnswer]:
        try:
            async with asyncio.timeout_at(deadline), gate:
                values = await self._ask(question, wanting)
        except KubeError as error:
            return dict.fromkeys(wanting, Absent(why=error.why, at=at, detail=error.detail))
        except TimeoutError:
            late = Absent(why=Why.TIMED_OUT, at=at, detail="no answer in time")
            return dict.fromkeys(wanting, late)
        return {
            key: value if isinstance(value, Absent) else Fresh(value=value, at=at)
            for key, value in values.items()
        }

    async def _get(self, path: str, **query: str) -> bytes:
        chosen = {name: value for name, value in query.items() if value}
        try:
            return await self._client.call("GET", path, kind=self.name, query=chosen)
        except ApiError as error:
            # a 404 without a reason is the API server's own "no such path"
            if error.status == 404 and not error.reason:
                self._version = None
                group = path.split("/")[2]
                raise MetricsApiError(
                    Why.OBJECT_MISSING, f"the API {group} is not installed"
                ) from error
            raise

    @abstractmethod
    def _questions(self, pool: Pool) -> Iterator[tuple[MetricQuestion, str]]:
        """The questions for this pool, each with the name of the reading that it answers."""

    @abstractmethod
    async def _ask(
        self, question: MetricQuestion, wanting: Wanting
    ) -> Mapping[MetricKey, MetricValue | Absent]:
        """A value for each of these metrics, or why it has none. Raises KubeError."""

    def _of_pods(
        self, pool: Pool, kind: Callable[..., MetricValue], known: Mapping[str, object]
    ) -> MetricValue | Absent:
        """What is known of the pool's pods, as one value; Absent if its pods are not known."""
        reading = self._workloads.pods(pool)
        if isinstance(reading, Fresh):
            names = (pod.name for pod in reading.value.items)
            return kind(items=tuple(known[name] for name in names if name in known))
        return Absent(
            why=Why.VIEW_INCOMPLETE, at=self._clock.now(), detail="the pool's pods are not known"
        )


class ResourceSource(ApiMetricSource):
    """CPU and memory from metrics.k8s.io, one request for each namespace."""

    name = RESOURCE_GROUP
    _least_s = RESOURCE_EVERY_S

    def _questions(self, pool: Pool) -> Iterator[tuple[MetricQuestion, str]]:
        for spec in pool.metrics:
            if isinstance(spec, ResourceMetric | ContainerResourceMetric):
                yield MetricQuestion(pool.namespace, ""), spec.resource

    async def _ask(
        self, question: MetricQuestion, wanting: Wanting
    ) -> Mapping[MetricKey, MetricValue | Absent]:
        path = f"/apis/{self.name}/v1beta1/namespaces/{_part(question.namespace)}/pods"
        raw = await self._get(path, labelSelector=self._pod_selector)
        usages = {
            resource: _by_pod(raw, partial(_pod_usage, resource=resource))
            for resource in {key.name for key in wanting}
        }
        return {
            key: self._of_pods(pool, PodUsages, usages[key.name]) for key, pool in wanting.items()
        }


class ExternalSource(ApiMetricSource):
    """External metrics and signals from external.metrics.k8s.io, which KEDA's scalers serve."""

    name = EXTERNAL_GROUP

    def _questions(self, pool: Pool) -> Iterator[tuple[MetricQuestion, str]]:
        for signal in pool.signals:
            if isinstance(signal.source, ExternalSeries):
                source = signal.source
                yield (
                    MetricQuestion(pool.namespace, source.name, source.selector),
                    signal.name,
                )
        signals = {QUEUE, *(signal.name for signal in pool.signals)}
        for spec in pool.metrics:
            if isinstance(spec, ExternalMetric) and spec.name not in signals:
                question = MetricQuestion(pool.namespace, spec.name, spec.selector)
                yield question, reading_name(spec)

    async def _ask(
        self, question: MetricQuestion, wanting: Wanting
    ) -> Mapping[MetricKey, MetricValue | Absent]:
        where = f"namespaces/{_part(question.namespace)}/{_part(question.metric)}"
        path = f"/apis/{self.name}/v1beta1/{where}"
        raw = await self._get(path, labelSelector=question.selector)
        # the sum counts, so that none may be left out
        found = [_decoded(wire.WireExternalValue, item) for item in _items(raw)]
        if not found:
            raise MetricsApiError(
                Why.INCOMPLETE, f"there is no series of {clean_name(question.metric)}"
            )
        values = tuple(_amount(each.value) for each in found)
        return dict.fromkeys(wanting, Series(values_milli=values))


class CustomSource(ApiMetricSource):
    """Pods and Object metrics of custom.metrics.k8s.io; plurals and version are kept."""

    name = CUSTOM_GROUP
    _plurals: Mapping[tuple[str, str], str] = {}

    def _questions(self, pool: Pool) -> Iterator[tuple[MetricQuestion, str]]:
        for spec in pool.metrics:
            match spec:
                case PodsMetric():
                    described = None
                case ObjectMetric():
                    described = spec.api_version, spec.kind, spec.object_name
                case _:
                    continue
            question = MetricQuestion(pool.namespace, spec.name, spec.selector, described)
            yield question, reading_name(spec)

    async def _ask(
        self, question: MetricQuestion, wanting: Wanting
    ) -> Mapping[MetricKey, MetricValue | Absent]:
        if question.described is not None:
            milli = await self._of_object(question, question.described)
            return dict.fromkeys(wanting, Figure(value_milli=milli))
        raw = await self._get(
            f"{await self._root()}/namespaces/{_part(question.namespace)}/pods/*"
            f"/{_part(question.metric)}",
            labelSelector=self._pod_selector,
            metricLabelSelector=question.selector,
        )
        figures = _by_pod(raw, _pod_figure)
        return {key: self._of_pods(pool, PodFigures, figures) for key, pool in wanting.items()}

    async def _of_object(self, question: MetricQuestion, described: tuple[str, str, str]) -> int:
        """A custom metric of one object, in thousandths."""
        api_version, kind, name = described
        root = await self._root()
        if kind == "Namespace" and api_version in {"", "v1"}:
            path = f"namespaces/{_part(name)}/metrics"  # a namespace is not in a namespace
        else:
            resource = await self._plural(api_version or "v1", kind)
            path = f"namespaces/{_part(question.namespace)}/{_part(resource)}/{_part(name)}"
        path = f"{root}/{path}/{_part(question.metric)}"
        items = _items(await self._get(path, metricLabelSelector=question.selector))
        if len(items) != 1:
            raise MetricsApiError(
                Why.INCOMPLETE,
                f"{len(items)} values of {clean_name(question.metric)}, one is wanted",
            )
        return _amount(_decoded(wire.WireMetricValue, items[0]).value)

    async def _plural(self, api_version: str, kind: str) -> str:
        """A resource as the API names it: `services`, or `ingresses.networking.k8s.io`."""
        known = self._plurals.get((api_version, kind))
        if known is not None:
            return known
        group = api_version.rpartition("/")[0]
        root = f"/apis/{quote(api_version, safe='/')}" if group else f"/api/{_part(api_version)}"
        for resource in _decoded(wire.WireResourceList, await self._get(root)).resources:
            if resource.kind == kind and "/" not in resource.name:
                found = f"{resource.name}.{group}" if group else resource.name
                self._plurals = {**self._plurals, (api_version, kind): found}
                return found
        raise MetricsApiError(
            Why.INCOMPLETE, f"{clean_name(api_version)} has no kind {clean_name(kind)}"
        )

    async def _root(self) -> str:
        """The path of the API in the newest version that we support."""
        if self._version is None:
            raw = await self._get(f"/apis/{self.name}")
            served = {each.version for each in _decoded(wire.WireGroup, raw).versions}
            known = [version for version in _CUSTOM_VERSIONS if version in served]
            if not known:
                raise UnreadableError(
                    f"{self.name} is served only in versions that are not known here"
                )
            self._version = known[0]
        return f"/apis/{self.name}/{self._version}"


@asynccontextmanager
async def metric_sources(
    client: Client, workloads: Workloads, pools: Sequence[Pool], clock: Clock, pod_selector: str
) -> AsyncIterator[tuple[MetricSource, ...]]:
    """The sources of these pools' metrics. They have their own connections, because the servers
    behind the API server may be slow or down while the API server itself works.
    """
    if not any(pool.metrics or pool.signals for pool in pools):
        yield ()
        return
    own = client.apart()
    try:
        yield tuple(
            source(own, pools, clock, workloads, pod_selector)
            for source in (ResourceSource, ExternalSource, CustomSource)
        )
    finally:
        await own.close()
