"""Kubernetes warning events by Deployment: limited in number and age, cleaned, newest first."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from controller.kube import wire
from controller.kube.objects import unix_seconds
from controller.model.observation import ClusterEvent
from controller.model.text import clean, clean_name
from controller.ports import Clock

KEPT_PER_POOL: Final = 5
KEPT_POOLS: Final = 4096
WARNING_KEPT_S: Final = 3600.0

# the alphabet of k8s.io/apimachinery/pkg/util/rand, in which generated names end
_GENERATED: Final = "[bcdfghjklmnpqrstvwxz2456789]"
_NAME_PATTERNS: Final = {
    "Deployment": re.compile(r"(?P<deployment>.+)"),
    "ReplicaSet": re.compile(rf"(?P<deployment>.+)-{_GENERATED}{{1,10}}"),
    "Pod": re.compile(rf"(?P<deployment>.+)-{_GENERATED}{{1,10}}-{_GENERATED}{{5}}"),
}


class _Newest(NamedTuple):
    warnings: tuple[ClusterEvent, ...]
    until: float


class WarningView:
    """The warnings of one namespace. Only the newest `KEPT_PER_POOL` of a Deployment are kept, for
    `WARNING_KEPT_S`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_pool: OrderedDict[str, dict[str, ClusterEvent]] = OrderedDict()
        self._newest: dict[str, _Newest] = {}

    def newest(self, deployment: str) -> tuple[ClusterEvent, ...]:
        """The Deployment's warnings of the last hour, newest first; the same object until they
        change.
        """
        if deployment not in self._by_pool:
            return ()
        known = self._newest.get(deployment)
        if known is None or known.until < self._clock.now():
            known = self._newest[deployment] = self._sorted(deployment)
        return known.warnings

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        present = {self._take(found) for found in objects}
        for deployment, kept in list(self._by_pool.items()):
            for name in [name for name in kept if (deployment, name) not in present]:
                self._remove(deployment, name)

    def put(self, found: msgspec.Raw) -> None:
        """One was added, or its count changed."""
        self._take(found)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted; the server deletes events after an hour by default."""
        event = _decoded(gone)
        deployment = _deployment_of(event.involved_object) if event else None
        if event is not None and deployment is not None and deployment in self._by_pool:
            self._remove(deployment, event.metadata.name)

    def _take(self, found: msgspec.Raw) -> tuple[str, str] | None:
        """Keep a warning about a pool; returns the Deployment's name and its own."""
        event = _decoded(found)
        if event is None or event.type != "Warning" or event.involved_object is None:
            return None
        deployment, name = _deployment_of(event.involved_object), event.metadata.name
        if deployment is None:
            return None
        kept = self._by_pool.setdefault(deployment, {})
        self._by_pool.move_to_end(deployment)
        warning = _value(event)
        if kept.get(name) != warning:
            kept[name] = warning
            if len(kept) > KEPT_PER_POOL:
                del kept[min(kept, key=lambda name: kept[name].at)]
            self._newest.pop(deployment, None)
        if len(self._by_pool) > KEPT_POOLS:
            self._forget_pool(next(iter(self._by_pool)))
        return deployment, name

    def _remove(self, deployment: str, name: str) -> None:
        if self._by_pool[deployment].pop(name, None) is not None:
            self._newest.pop(deployment, None)
        if not self._by_pool[deployment]:
            self._forget_pool(deployment)

    def _sorted(self, deployment: str) -> _Newest:
        oldest = self._clock.now() - WARNING_KEPT_S
        events = [each for each in self._by_pool[deployment].values() if each.at >= oldest]
        if not events:
            return _Newest((), math.inf)
        events.sort(key=lambda event: -event.at)
        return _Newest(tuple(events), events[-1].at + WARNING_KEPT_S)

    def _forget_pool(self, deployment: str) -> None:
        self._by_pool.pop(deployment, None)
        self._newest.pop(deployment, None)


def _decoded(raw: msgspec.Raw) -> wire.WireEvent | None:
    """The event; None if it cannot be read."""
    try:
        return wire.EVENT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _deployment_of(about: wire.WireObjectReference | None) -> str | None:
    """The Deployment's name, derived from the object's name only, because the ReplicaSet or the pod
    may be gone already.
    """
    pattern = _NAME_PATTERNS.get(about.kind) if about else None
    found = pattern.fullmatch(about.name) if about and pattern else None
    return clean_name(found["deployment"]) if found else None


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
