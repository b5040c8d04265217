"""What other objects say about our workloads: other autoscalers (HorizontalPodAutoscalers, KEDA's
ScaledObjects), the freeze annotation of the namespace, and the cluster's warnings.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

import msgspec

from controller.kube import wire
from controller.kube.watch import KindView, Seen, seen
from controller.kube.wire import unix_seconds
from controller.model.decoding import UndecodableError
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import ClusterEvent
from controller.model.text import clean, clean_name
from controller.ports import Clock

FREEZE: Final = "agentdash.dev/freeze"
KEDA_PAUSED: Final = "autoscaling.keda.sh/paused"
"""KEDA removes the HPA of a ScaledObject with this annotation and leaves its target alone
(kedacore/keda, apis/keda/v1alpha1/scaledobject_types.go)."""
_KINDS: Final = frozenset(WorkloadKind)
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


class RivalView(KindView[Seen[wire.WireAutoscaler]]):
    """The autoscalers of one kind in one namespace, by the workload that they scale. One that
    cannot be read, or that is paused, scales none.
    """

    def __init__(self, kind: str, changed: Callable[[WorkloadName], None]) -> None:
        """`changed` is called with a workload that got or lost an autoscaler."""
        self.kind = kind
        self._changed = changed
        self._targets: dict[str, WorkloadName | None] = {}
        self._rivals: dict[WorkloadName, set[str]] = {}

    def of(self, workload: WorkloadName) -> str:
        """The workload's autoscaler, as kind and name; empty if it has none."""
        rivals = self._rivals.get(workload)
        return f"{self.kind} {min(rivals)}" if rivals else ""

    def names(self) -> Collection[str]:
        """The names of all autoscalers."""
        return self._targets.keys()

    def read(self, raw: msgspec.Raw) -> Seen[wire.WireAutoscaler] | None:
        """What we read of an autoscaler; None if it cannot be read."""
        record = seen(wire.AUTOSCALER, raw)
        return None if record is None or isinstance(record.found, UndecodableError) else record

    def take(self, record: Seen[wire.WireAutoscaler]) -> None:
        """One was added or changed."""
        name, found = record
        if isinstance(found, UndecodableError):
            return
        reference, annotations = found.spec.scale_target_ref, found.metadata.annotations or {}
        kind, target = reference.kind or WorkloadKind.DEPLOYMENT, None
        if kind in _KINDS and annotations.get(KEDA_PAUSED, "false") == "false":
            target = WorkloadName(clean_name(reference.name), WorkloadKind(kind))
        self._aim(name, target)

    def drop(self, name: str) -> None:
        """One is gone."""
        self._aim(name, None)
        self._targets.pop(name, None)

    def _aim(self, name: str, workload: WorkloadName | None) -> None:
        """Note what this autoscaler scales now."""
        before = self._targets.get(name)
        self._targets[name] = workload
        if before == workload:
            return
        if before is not None:
            self._rivals[before].discard(name)
            self._changed(before)
        if workload is not None:
            self._rivals.setdefault(workload, set()).add(name)
            self._changed(workload)


class NamespaceSwitch(KindView[Seen[wire.WireAnnotated]]):
    """The view of one namespace: whether its annotation freezes the Deployments in it. What cannot
    be read leaves the switch as it was.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called when the annotation came, went or changed."""
        self._changed = changed
        self._name = ""
        self.freeze: str | None = None

    def names(self) -> Collection[str]:
        """Its name, once it was seen."""
        return {self._name} if self._name else ()

    def read(self, raw: msgspec.Raw) -> Seen[wire.WireAnnotated]:
        """The namespace; what cannot be read counts as the one that is known."""
        return seen(wire.ANNOTATED, raw) or Seen(self._name, UndecodableError("no name"))

    def take(self, record: Seen[wire.WireAnnotated]) -> None:
        """It was added or changed."""
        name, found = record
        if isinstance(found, UndecodableError):
            return
        self._name = name
        text = (found.metadata.annotations or {}).get(FREEZE)
        self._set(None if text is None else clean(text))

    def drop(self, name: str) -> None:
        """It was deleted: the workloads in it are gone too."""
        if name == self._name:
            self._name = ""
            self._set(None)

    def _set(self, freeze: str | None) -> None:
        if freeze != self.freeze:
            self.freeze = freeze
            self._changed()


class _Newest(NamedTuple):
    warnings: tuple[ClusterEvent, ...]
    until: float


class WarningView(KindView[Seen[wire.WireEvent]]):
    """The warnings of one namespace. Only the newest `KEPT_PER_POOL` of a workload are kept, for
    `WARNING_KEPT_S`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._workloads: dict[str, WorkloadName] = {}
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

    def names(self) -> Collection[str]:
        """The names of the events that are kept."""
        return self._workloads.keys()

    def count(self) -> int:
        """Always 0, because events end by themselves."""
        return 0

    def read(self, raw: msgspec.Raw) -> Seen[wire.WireEvent] | None:
        """A warning about a pool; None for any other event."""
        record = seen(wire.EVENT, raw)
        if record is None or isinstance(record.found, UndecodableError):
            return None
        is_ours = record.found.type == "Warning" and _workload_of(record.found.involved_object)
        return record if is_ours else None

    def take(self, record: Seen[wire.WireEvent]) -> None:
        """One was added, or its count changed."""
        name, event = record
        if isinstance(event, UndecodableError):
            return
        workload = _workload_of(event.involved_object)
        if workload is None:
            return
        kept = self._by_pool.setdefault(workload, {})
        self._by_pool.move_to_end(workload)
        warning = _value(event)
        if kept.get(name) != warning:
            kept[name], self._workloads[name] = warning, workload
            if len(kept) > KEPT_PER_POOL:
                self.drop(min(kept, key=lambda name: kept[name].at))
            self._newest.pop(workload, None)
        if len(self._by_pool) > KEPT_POOLS:
            for name in tuple(next(iter(self._by_pool.values()))):
                self.drop(name)

    def drop(self, name: str) -> None:
        """One is gone; the server deletes events after an hour by default."""
        workload = self._workloads.pop(name, None)
        if workload is None:
            return
        self._newest.pop(workload, None)
        del self._by_pool[workload][name]
        if not self._by_pool[workload]:
            del self._by_pool[workload]

    def _sorted(self, workload: WorkloadName) -> _Newest:
        oldest = self._clock.now() - WARNING_KEPT_S
        events = [each for each in self._by_pool[workload].values() if each.at >= oldest]
        if not events:
            return _Newest((), math.inf)
        events.sort(key=lambda event: -event.at)
        return _Newest(tuple(events), events[-1].at + WARNING_KEPT_S)


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
