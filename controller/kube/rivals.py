"""What other objects say about our workloads: other autoscalers (HorizontalPodAutoscalers, KEDA's
ScaledObjects), the freeze annotation of the namespace, and the cluster's warnings.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from controller.kube import wire
from controller.kube.watch import KindView, Seen
from controller.kube.wire import unix_seconds
from controller.model.ids import WorkloadKind, WorkloadName
from controller.model.observation import ClusterEvent
from controller.model.text import clean, clean_name
from controller.model.value import UndecodableError
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


class RivalView(KindView[WorkloadName]):
    """What autoscalers of one kind scale, by name; nothing if paused or unreadable."""

    def __init__(self, kind: str, changed: Callable[[WorkloadName], None]) -> None:
        """`changed` is called with a workload that got or lost an autoscaler."""
        super().__init__()
        self.kind = kind
        self._on_change = changed
        self._rivals: defaultdict[WorkloadName, set[str]] = defaultdict(set)

    def of(self, workload: WorkloadName) -> str:
        """The workload's autoscaler, as kind and name; empty if it has none."""
        rivals = self._rivals.get(workload)
        return f"{self.kind} {min(rivals)}" if rivals else ""

    def read(self, raw: msgspec.Raw) -> Seen[WorkloadName] | None:
        """What an autoscaler scales; None if that cannot be read."""
        try:
            found = wire.WireAutoscaler.of(raw)
        except UndecodableError:
            return None
        reference, annotations = found.spec.scale_target_ref, found.metadata.annotations or {}
        kind, target = reference.kind or WorkloadKind.DEPLOYMENT, None
        if kind in _KINDS and annotations.get(KEDA_PAUSED, "false") == "false":
            target = WorkloadName(clean_name(reference.name), WorkloadKind(kind))
        return Seen(clean_name(found.metadata.name), target)

    def changed(self, name: str, before: WorkloadName | None, after: WorkloadName | None) -> None:
        """Note what this autoscaler scales now."""
        if before is not None:
            self._rivals[before].discard(name)
            self._on_change(before)
        if after is not None:
            self._rivals[after].add(name)
            self._on_change(after)


class NamespaceSwitch(KindView[str]):
    """A namespace's freeze annotation; what cannot be read leaves the switch as it was."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called when the annotation came, went or changed."""
        super().__init__()
        self._on_change = changed

    @property
    def freeze(self) -> str | None:
        """The annotation; None without one."""
        return next(iter(self.kept.values()), None)

    def read(self, raw: msgspec.Raw) -> Seen[str] | None:
        """The annotation of the namespace."""
        try:
            meta = wire.WireAnnotated.of(raw).metadata
        except UndecodableError:
            return next((Seen(*known) for known in self.kept.items()), None)
        text = (meta.annotations or {}).get(FREEZE)
        return Seen(clean_name(meta.name), None if text is None else clean(text))

    def changed(self, *_: object) -> None:
        """The annotation came, went or changed."""
        self._on_change()


class _Newest(NamedTuple):
    warnings: tuple[ClusterEvent, ...]
    until: float


class Warned(NamedTuple):
    """A warning about a workload."""

    workload: WorkloadName
    event: ClusterEvent


class WarningView(KindView[Warned]):
    """One namespace's warnings: the newest `KEPT_PER_POOL` a workload, for `WARNING_KEPT_S`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._by_pool: OrderedDict[WorkloadName, dict[str, ClusterEvent]] = OrderedDict()
        self._newest: dict[WorkloadName, _Newest] = {}

    def newest(self, workload: WorkloadName) -> tuple[ClusterEvent, ...]:
        """The workload's warnings of the last hour, newest first; one object until they change."""
        if workload not in self._by_pool:
            return ()
        known = self._newest.get(workload)
        if known is None or known.until < self._clock.now():
            oldest = self._clock.now() - WARNING_KEPT_S
            events = [each for each in self._by_pool[workload].values() if each.at >= oldest]
            events.sort(key=lambda event: -event.at)
            until = events[-1].at + WARNING_KEPT_S if events else math.inf
            known = self._newest[workload] = _Newest(tuple(events), until)
        return known.warnings

    def count(self) -> int:
        """Always 0, because events end by themselves."""
        return 0

    def read(self, raw: msgspec.Raw) -> Seen[Warned] | None:
        """A warning about a pool; None for any other event."""
        try:
            event = wire.WireEvent.of(raw)
        except UndecodableError:
            return None
        workload = _workload_of(event.involved_object)
        if event.type != "Warning" or workload is None:
            return None
        return Seen(clean_name(event.metadata.name), Warned(workload, _value(event)))

    def changed(self, name: str, before: Warned | None, after: Warned | None) -> None:
        """Keep the newest of each workload, and the workloads that were warned last."""
        if before is not None:
            self._newest.pop(before.workload, None)
            del self._by_pool[before.workload][name]
            if not self._by_pool[before.workload]:
                del self._by_pool[before.workload]
        if after is None:
            return
        events = self._by_pool.setdefault(after.workload, {})
        self._by_pool.move_to_end(after.workload)
        self._newest.pop(after.workload, None)
        events[name] = after.event
        if len(events) > KEPT_PER_POOL:
            self.drop(min(events, key=lambda name: events[name].at))
        if len(self._by_pool) > KEPT_POOLS:
            for oldest in tuple(next(iter(self._by_pool.values()))):
                self.drop(oldest)


def _workload_of(about: wire.WireReference | None) -> WorkloadName | None:
    """The workload by the object's name alone: the ReplicaSet or pod may be gone."""
    if about is None:
        return None
    for pattern, kind in _NAMED_AFTER.get(about.kind or "", ()):
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
    about = event.involved_object or wire.WireReference()
    return ClusterEvent(
        at=next((at for time in times if (at := unix_seconds(time)) is not None), 0.0),
        reason=clean_name(event.reason or ""),
        message=clean(event.message or ""),
        object_name=clean_name(about.name),
        count=max(series.count, event.count or 1),
    )
