"""What the cluster's own controllers warn about, by pool: bounded, cleaned, the newest first."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from controller.kube import wire
from controller.kube.objects import unix_seconds
from controller.model.observation import ClusterEvent
from controller.model.text import clean, clean_name
from controller.ports import Clock

KEPT_PER_POOL: Final = 5
KEPT_POOLS: Final = 4096
KEPT_S: Final = 3600.0

# the alphabet of k8s.io/apimachinery/pkg/util/rand: names that controllers made end in it
_MADE: Final = "[bcdfghjklmnpqrstvwxz2456789]"
_OWNER: Final = {
    "Deployment": re.compile(r"(?P<deployment>.+)"),
    "ReplicaSet": re.compile(rf"(?P<deployment>.+)-{_MADE}{{1,10}}"),
    "Pod": re.compile(rf"(?P<deployment>.+)-{_MADE}{{1,10}}-{_MADE}{{5}}"),
}


class WarningView:
    """The warnings of one namespace. What is older than an hour, or beyond the newest few of a
    pool, is forgotten.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_pool: OrderedDict[str, dict[str, ClusterEvent]] = OrderedDict()

    def newest(self, deployment: str) -> tuple[ClusterEvent, ...]:
        """The Deployment's warnings of the last hour, the newest first."""
        oldest = self._clock.now() - KEPT_S
        events = self._by_pool.get(deployment, {}).values()
        return tuple(
            sorted((event for event in events if event.at >= oldest), key=lambda event: -event.at)
        )

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        self._by_pool.clear()
        for found in objects:
            self.put(found)

    def put(self, found: msgspec.Raw) -> None:
        """One was written, or counted again."""
        event = _decoded(found)
        if event is None or event.type != "Warning" or event.involved_object is None:
            return
        deployment = _deployment_of(event.involved_object)
        if deployment is None:
            return
        kept = self._by_pool.setdefault(deployment, {})
        self._by_pool.move_to_end(deployment)
        kept[event.metadata.name] = _value(event)
        if len(kept) > KEPT_PER_POOL:
            del kept[min(kept, key=lambda name: kept[name].at)]
        if len(self._by_pool) > KEPT_POOLS:
            self._by_pool.popitem(last=False)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted; the server forgets them after an hour, too."""
        event = _decoded(gone)
        deployment = _deployment_of(event.involved_object) if event else None
        if event is None or deployment is None or deployment not in self._by_pool:
            return
        self._by_pool[deployment].pop(event.metadata.name, None)
        if not self._by_pool[deployment]:
            del self._by_pool[deployment]


def _decoded(raw: msgspec.Raw) -> wire.WireEvent | None:
    """None for an odd one: a warning that cannot be read is no reason to stop reading."""
    try:
        return wire.EVENT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _deployment_of(about: wire.WireObjectReference | None) -> str | None:
    """By name alone: the ReplicaSet or the pod may be gone already."""
    pattern = _OWNER.get(about.kind) if about else None
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
