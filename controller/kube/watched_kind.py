"""The workloads of one kind in one namespace: their view, what keeps it up to date, and their
readings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from controller.kube.kept_readings import KeptReadings
from controller.kube.objects import RefusedObject
from controller.kube.reflector import Reflector
from controller.kube.views import WorkloadView
from controller.model.ids import WorkloadName
from controller.model.observation import Workload
from controller.model.readings import Absent, Fresh, Reading, Stale, Why

S = TypeVar("S")
T = TypeVar("T")


class WatchedKind:
    """The Deployments of one namespace, or its StatefulSets. `reflector` keeps `view` up to date.

    A reading is the same object until something about it changes.
    """

    def __init__(
        self,
        namespace: str,
        view: WorkloadView,
        reflector: Reflector,
        complete: Callable[[WorkloadName, Workload], Workload],
    ) -> None:
        """`complete` adds what other objects say about a workload."""
        self.view = view
        self.reflector = reflector
        self._namespace = namespace
        self._complete = complete
        self._readings = KeptReadings(reflector.freshness, self._make)

    def get(self, workload: WorkloadName) -> Reading[Workload]:
        """The workload; Absent(OBJECT_MISSING) if a complete view has none."""
        return self._readings.get(workload)

    def forget(self, workload: WorkloadName) -> None:
        """Something about the workload changed."""
        self._readings.forget(workload)

    def _make(self, workload: WorkloadName) -> Reading[Workload]:
        reading = self.reflector.freshness.judge(self.view.get(workload.name))
        if isinstance(reading, Absent):
            return reading
        found = reading.value
        if found is None:
            return self._missing(workload, reading)
        if isinstance(found, RefusedObject):
            return Absent(why=found.why, at=reading.at, detail=found.detail)
        if isinstance(found, Workload):
            return with_value(reading, self._complete(workload, found))
        completed = self._complete(workload, found.workload)
        if isinstance(reading, Stale):
            return with_value(reading, completed)
        return Stale(value=completed, at=reading.at, why=found.why, detail=found.detail)

    def _missing(self, workload: WorkloadName, reading: Fresh[S] | Stale[S]) -> Absent:
        """The reading for a workload that the view does not have. A stale view cannot prove that it
        is missing.
        """
        if isinstance(reading, Stale):
            return Absent(why=reading.why, at=reading.at, detail=reading.detail)
        missing = f"no {workload} in namespace {self._namespace}"
        return Absent(why=Why.OBJECT_MISSING, at=reading.at, detail=missing)


def with_value(reading: Fresh[S] | Stale[S], value: T) -> Reading[T]:
    """The reading with another value."""
    if isinstance(reading, Stale):
        return Stale(value=value, at=reading.at, why=reading.why, detail=reading.detail)
    return Fresh(value=value, at=reading.at)
