"""Kubernetes warning events by workload: limited in number and age, cleaned, newest first."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from controller.kube import wire
from controller.kube.pod_times import unix_seconds
from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import ClusterEvent
from controller.model.text import clean, clean_name
from controller.ports.clock import Clock

KEPT_PER_POOL: Final = 5
KEPT_POOLS: Final = 4096
WARNING_KEPT_S: Final = 3600.0

# the alphabet of k8s.io/apimachinery/pkg/util/rand, in which generated names end
_GENERATED: Final = "[bcdfghjklmnpqrstvwxz2456789]"
_NAMED_AFTER: Final = {
    "Deployment": ((re.compile(r"(.+)"), WorkloadKind.DEPLOYMENT),),
    "ReplicaSet": ((re.compile(rf"(.+)-{_GENERATED}{{1,10}}"), WorkloadKind.DEPLOYMENT),),
    "StatefulSet": ((re.compile(r"(.+)"), WorkloadKind.STATEFUL_SET),),
    "Pod": (
        (re.compile(rf"(.+)-{_GENERATED}{{1,10}}-{_GENERATED}{{5}}"), WorkloadKind.DEPLOYMENT),
        (re.compile(r"(.+)-\d+", re.ASCII), WorkloadKind.STATEFUL_SET),
    ),
}
"""By the kind of an object, how its name begins with that of a workload; the first that fits."""


class _Newest(NamedTuple):
    warnings: tuple[ClusterEvent, ...]
    until: float


class WarningView:
    """The warnings of one namespace. Only the newest `KEPT_PER_POOL` of a workload are kept, for
    `WARNING_KEPT_S`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_pool: OrderedDict[WorkloadName, dict[str, ClusterEvent]] = OrderedDict()
        self._newest: dict[WorkloadName, _Newest] = {}

    def newest(self, workload: WorkloadName) -> tuple[ClusterEvent, ...]:
        """The workload's warnings of the last hour, newest first; the same object until they
        change.
        """
        if workload not in self._by_pool:
            return ()
        known = self._newest.get(workload)
        if known is None or known.until < self._clock.now():
            known = self._newest[workload] = self._sorted(workload)
        return known.warnings

    def count(self) -> int:
        """Always 0, because events end by themselves."""
        return 0

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        present = {self._take(found) for found in objects}
        for workload, kept in list(self._by_pool.items()):
            for name in [name for name in kept if (workload, name) not in present]:
                self._remove(workload, name)

    def put(self, found: msgspec.Raw) -> None:
        """One was added, or its count changed."""
        self._take(found)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted; the server deletes events after an hour by default."""
        event = _decoded(gone)
        workload = _workload_of(event.involved_object) if event else None
        if event is not None and workload is not None and workload in self._by_pool:
            self._remove(workload, event.metadata.name)

    def _take(self, found: msgspec.Raw) -> tuple[WorkloadName, str] | None:
        """Keep a warning about a pool; returns the workload and its own name."""
        event = _decoded(found)
        if event is None or event.type != "Warning" or event.involved_object is None:
            return None
        workload, name = _workload_of(event.involved_object), event.metadata.name
        if workload is None:
            return None
        kept = self._by_pool.setdefault(workload, {})
        self._by_pool.move_to_end(workload)
        warning = _value(event)
        if kept.get(name) != warning:
            kept[name] = warning
            if len(kept) > KEPT_PER_POOL:
                del kept[min(kept, key=lambda name: kept[name].at)]
            self._newest.pop(workload, None)
        if len(self._by_pool) > KEPT_POOLS:
            self._forget_pool(next(iter(self._by_pool)))
        return workload, name

    def _remove(self, workload: WorkloadName, name: str) -> None:
        if self._by_pool[workload].pop(name, None) is not None:
            self._newest.pop(workload, None)
        if not self._by_pool[workload]:
            self._forget_pool(workload)

    def _sorted(self, workload: WorkloadName) -> _Newest:
        oldest = self._clock.now() - WARNING_KEPT_S
        events = [each for each in self._by_pool[workload].values() if each.at >= oldest]
        if not events:
            return _Newest((), math.inf)
        events.sort(key=lambda event: -event.at)
        return _Newest(tuple(events), events[-1].at + WARNING_KEPT_S)

    def _forget_pool(self, workload: WorkloadName) -> None:
        self._by_pool.pop(workload, None)
        self._newest.pop(workload, None)


def _decoded(raw: msgspec.Raw) -> wire.WireEvent | None:
    """The event; None if it cannot be read."""
    try:
        return decoded(wire.EVENT, raw)
    except UndecodableError:
        return None


def _workload_of(about: wire.WireObjectReference | None) -> WorkloadName | None:
    """The workload, derived from the object's name only, because the ReplicaSet or the pod may be
    gone already.
    """
    if about is None:
        return None
    for pattern, kind in _NAMED_AFTER.get(about.kind, ()):
        if found := pattern.fullmatch(about.name):
            return WorkloadName(clean_name(found[1]), kind)
    return None


def _value(event: wire.WireEvent) -> ClusterEvent:
    series = event.series or wire.WireEventSeries()
    times = (
        series.last_observed_time,
        event.last_timestamp,
        event.event_time,
        event.metadata.creation_timestamp,
    )
    about = event.involved_object or wire.WireObjectReference()
    return ClusterEvent(
        at=next((at for time in times if (at := unix_seconds(time)) is not None), 0.0),
        reason=clean_name(event.reason or ""),
        message=clean(event.message or ""),
        object_name=clean_name(about.name),
        count=max(series.count, event.count or 1),
    )
