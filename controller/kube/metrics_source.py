"""Sources of pools' metrics: the three metrics APIs of the cluster, one source for each.

Only metrics that a pool uses are requested, and only once for all pools that share one.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from controller.kube.client import Client
from controller.kube.errors import KubeError
from controller.kube.metrics_api import DescribedObject, MetricsApi, PodSample
from controller.model.fleet import Pool
from controller.model.metrics import (
    QUEUE,
    ContainerResourceMetric,
    ExternalMetric,
    Figure,
    MetricValue,
    ObjectMetric,
    PodFigure,
    PodFigures,
    PodsMetric,
    PodUsage,
    PodUsages,
    ResourceMetric,
    Series,
)
from controller.model.readings import Absent, Fresh, Why
from controller.model.rights import CUSTOM_GROUP, EXTERNAL_GROUP, RESOURCE_GROUP
from controller.model.signals import ExternalSeries
from controller.planning.demand.metrics.names import reading_name
from controller.ports.clock import Clock
from controller.ports.cluster import Workloads
from controller.ports.sources import MetricAnswer, MetricKey, MetricSource

REQUESTS_AT_ONCE: Final = 8
"""The limit for one source, so that a round does not delay other requests to the API server."""
REQUESTS_PER_SECOND: Final = 10
"""The average limit for one source: a fleet with very many metrics is read less often."""
RESOURCE_EVERY_S: Final = 15.0
"""The default of metrics-server's --metric-resolution: more frequent reads give nothing new."""

Q = TypeVar("Q", bound=Hashable)


Wanting: TypeAlias = Mapping[MetricKey, Pool]
"""The metrics that one request is for, each with its pool."""


class ApiMetricSource(ABC, Generic[Q]):
    """A `MetricSource` for one API. A question is one request, for the metrics of any pools.

    Only a complete answer is Fresh; a refusal, a time-out or an implausible number is Absent.
    """

    name: str
    _least_s = 0.0

    def __init__(self, api: MetricsApi, pools: Iterable[Pool], clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._wanting: defaultdict[Q, dict[MetricKey, Pool]] = defaultdict(dict)
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
        question: Q,
        wanting: Wanting,
        gate: asyncio.Semaphore,
        deadline: float,
        at: float,
    ) -> Mapping[MetricKey, MetricAnswer]:
        try:
            async with asyncio.timeout_at(deadline), gate:
                left_s = max(0.001, deadline - asyncio.get_running_loop().time())
                values = await self._ask(question, wanting, left_s)
        except KubeError as error:
            return dict.fromkeys(wanting, Absent(why=error.why, at=at, detail=error.detail))
        except TimeoutError:
            return dict.fromkeys(
                wanting, Absent(why=Why.TIMED_OUT, at=at, detail="no answer in time")
            )
        return {
            key: value if isinstance(value, Absent) else Fresh(value=value, at=at)
            for key, value in values.items()
        }

    @abstractmethod
    def _questions(self, pool: Pool) -> Iterator[tuple[Q, str]]:
        """The questions for this pool, each with the name of the reading that it answers."""

    @abstractmethod
    async def _ask(
        self, question: Q, wanting: Wanting, timeout_s: float
    ) -> Mapping[MetricKey, MetricValue | Absent]:
        """A value for each of these metrics, or why it has none. Raises KubeError."""


class PodMetricSource(ApiMetricSource[Q]):
    """A source whose answers have all pods of a namespace, from which each pool gets its own."""

    def __init__(
        self, api: MetricsApi, pools: Iterable[Pool], clock: Clock, workloads: Workloads
    ) -> None:
        super().__init__(api, pools, clock)
        self._workloads = workloads

    def _of_pods(
        self, pool: Pool, value: Callable[[Sequence[str]], MetricValue]
    ) -> MetricValue | Absent:
        """`value` of the names of the pool's pods; Absent if they are not known."""
        reading = self._workloads.pods(pool)
        if isinstance(reading, Fresh):
            return value([pod.name for pod in reading.value.items])
        return Absent(
            why=Why.VIEW_INCOMPLETE, at=self._clock.now(), detail="the pool's pods are not known"
        )


class ResourceSource(PodMetricSource[str]):
    """CPU and memory from metrics.k8s.io, one request for each namespace."""

    name = RESOURCE_GROUP
    _least_s = RESOURCE_EVERY_S

    def _questions(self, pool: Pool) -> Iterator[tuple[str, str]]:
        for spec in pool.metrics:
            if isinstance(spec, ResourceMetric | ContainerResourceMetric):
                yield pool.namespace, spec.resource

    async def _ask(
        self, question: str, wanting: Wanting, timeout_s: float
    ) -> Mapping[MetricKey, MetricValue | Absent]:
        samples = await self._api.pod_samples(question, timeout_s)
        return {
            key: self._of_pods(pool, partial(_usages, samples, key.name))
            for key, pool in wanting.items()
        }


def _usages(samples: Mapping[str, PodSample], resource: str, pods: Iterable[str]) -> PodUsages:
    """The use of one resource by these pods; an answer of the API has all resources."""
    found = [samples[pod] for pod in pods if pod in samples]
    return PodUsages(
        items=tuple(
            PodUsage(
                pod=sample.pod,
                containers={
                    container: used.get(resource) for container, used in sample.containers.items()
                },
                at=sample.at,
                window_s=sample.window_s,
            )
            for sample in found
        )
    )


class ExternalQuestion(NamedTuple):
    """A request for the series of one external metric."""

    namespace: str
    metric: str
    selector: str


class ExternalSource(ApiMetricSource[ExternalQuestion]):
    """External metrics and signals from external.metrics.k8s.io, which KEDA's scalers serve."""

    name = EXTERNAL_GROUP

    def _questions(self, pool: Pool) -> Iterator[tuple[ExternalQuestion, str]]:
        for signal in pool.signals:
            if isinstance(signal.source, ExternalSeries):
                source = signal.source
                yield (
                    ExternalQuestion(pool.namespace, source.name, source.selector),
                    signal.name,
                )
        signals = {QUEUE, *(signal.name for signal in pool.signals)}
        for spec in pool.metrics:
            if isinstance(spec, ExternalMetric) and spec.name not in signals:
                question = ExternalQuestion(pool.namespace, spec.name, spec.selector)
                yield question, reading_name(spec)

    async def _ask(
        self, question: ExternalQuestion, wanting: Wanting, timeout_s: float
    ) -> Mapping[MetricKey, MetricValue | Absent]:
        values = await self._api.external(*question, timeout_s)
        return dict.fromkeys(wanting, Series(values_milli=values))


class PodsQuestion(NamedTuple):
    """A request for one custom metric of all pods of a namespace."""

    namespace: str
    metric: str
    selector: str


class ObjectQuestion(NamedTuple):
    """A request for one custom metric of one object."""

    described: DescribedObject
    metric: str
    selector: str


class CustomSource(PodMetricSource[PodsQuestion | ObjectQuestion]):
    """Pods and Object metrics from custom.metrics.k8s.io."""

    name = CUSTOM_GROUP

    def _questions(self, pool: Pool) -> Iterator[tuple[PodsQuestion | ObjectQuestion, str]]:
        for spec in pool.metrics:
            match spec:
                case PodsMetric():
                    yield (
                        PodsQuestion(pool.namespace, spec.name, spec.selector),
                        reading_name(spec),
                    )
                case ObjectMetric():
                    described = DescribedObject(
                        pool.namespace, spec.api_version, spec.kind, spec.object_name
                    )
                    yield ObjectQuestion(described, spec.name, spec.selector), reading_name(spec)

    async def _ask(
        self, question: PodsQuestion | ObjectQuestion, wanting: Wanting, timeout_s: float
    ) -> Mapping[MetricKey, MetricValue | Absent]:
        if isinstance(question, ObjectQuestion):
            milli = await self._api.object_figure(*question, timeout_s)
            return dict.fromkeys(wanting, Figure(value_milli=milli))
        figures = await self._api.pod_figures(*question, timeout_s)
        return {
            key: self._of_pods(pool, partial(_figures, figures)) for key, pool in wanting.items()
        }


def _figures(figures: Mapping[str, PodFigure], pods: Iterable[str]) -> PodFigures:
    return PodFigures(items=tuple(figures[pod] for pod in pods if pod in figures))


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
    own = client.apart(clock)
    api = MetricsApi(own, pod_selector)
    try:
        yield (
            ResourceSource(api, pools, clock, workloads),
            ExternalSource(api, pools, clock),
            CustomSource(api, pools, clock, workloads),
        )
    finally:
        await own.close()
