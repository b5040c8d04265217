"""A snapshot as what differs from the one before, and a snapshot made from that again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from controller.model.fleet_views import QueueRates, TenantView
from controller.model.history import History
from controller.model.ids import PoolKey
from controller.model.snapshot import PoolView, ScaleEvent, Snapshot
from controller.model.value import Value


class SnapshotChange(Value):
    """What makes the snapshot `head.sequence` out of the one with the sequence `base`; a whole
    snapshot where `base` is None.

    - `head`: the snapshot without its pools, queues, tenants, events and histories.
    - `pools`, `queues`, `histories`: those that differ. `keys`: all pools in order, None where they
      are the same ones. `tenants`: all of them, None where none differs.
    - `events`: those that are new; of the ones before, the newest `events_kept` remain.
    """

    head: Snapshot
    base: int | None = None
    pools: tuple[PoolView, ...] = ()
    keys: tuple[PoolKey, ...] | None = None
    queues: tuple[QueueRates, ...] = ()
    tenants: tuple[TenantView, ...] | None = None
    histories: Mapping[PoolKey, History] = {}
    events: tuple[ScaleEvent, ...] = ()
    events_kept: int = 0


class MissedSnapshotError(Exception):
    """The change is one of a snapshot that is not there: a whole one is needed."""


def whole(snapshot: Snapshot) -> SnapshotChange:
    """All of the snapshot."""
    return SnapshotChange(
        head=_head(snapshot),
        pools=snapshot.pools,
        keys=tuple(view.key for view in snapshot.pools),
        queues=snapshot.queues,
        tenants=snapshot.tenants,
        histories=snapshot.histories,
        events=snapshot.events,
    )


def difference(before: Snapshot, after: Snapshot) -> SnapshotChange:
    """What differs between two snapshots of one process. What is the same object is the same."""
    if before.epoch != after.epoch:
        return whole(after)
    views = {view.key: view for view in before.pools}
    keys = tuple(view.key for view in after.pools)
    histories = {}
    if after.histories is not before.histories:
        histories = {
            key: history
            for key, history in after.histories.items()
            if before.histories.get(key) is not history
        }
    new, kept = _new_events(before.events, after.events)
    return SnapshotChange(
        head=_head(after),
        base=before.sequence,
        pools=tuple(view for view in after.pools if views.get(view.key) is not view),
        keys=None if keys == tuple(views) else keys,
        queues=_new_queues(before.queues, after.queues),
        tenants=None if after.tenants == before.tenants else after.tenants,
        histories=histories,
        events=new,
        events_kept=kept,
    )


def changed(before: Snapshot | None, change: SnapshotChange) -> Snapshot:
    """The snapshot after the change. Raises MissedSnapshotError."""
    head = change.head
    if change.base is None:
        return replace(
            head,
            pools=change.pools,
            queues=change.queues,
            tenants=change.tenants or (),
            events=change.events,
            histories=dict(change.histories),
        )
    if before is None or (before.epoch, before.sequence) != (head.epoch, change.base):
        raise MissedSnapshotError(f"a change of snapshot {change.base}, which is not there")
    pools, queues = before.pools, before.queues
    if change.queues or change.keys is not None:
        rates = {each.pool: each for each in (*before.queues, *change.queues)}
        keys = tuple(view.key for view in before.pools) if change.keys is None else change.keys
        queues = tuple(rates[key] for key in keys if key in rates)
    if change.pools or change.keys is not None:
        views = {view.key: view for view in before.pools}
        views.update((view.key, view) for view in change.pools)
        keys = tuple(views) if change.keys is None else change.keys
        pools = tuple(views[key] for key in keys if key in views)
    histories = before.histories
    if change.histories:
        histories = {**before.histories, **change.histories}
    events = before.events
    if change.events or change.events_kept != len(before.events):
        events = (*change.events, *before.events[: change.events_kept])
    tenants = before.tenants if change.tenants is None else change.tenants
    return replace(
        head, pools=pools, queues=queues, tenants=tenants, events=events, histories=histories
    )


def _head(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, pools=(), queues=(), tenants=(), events=(), histories={})


def _new_queues(
    before: tuple[QueueRates, ...], after: tuple[QueueRates, ...]
) -> tuple[QueueRates, ...]:
    if after is before:
        return ()
    known = {each.pool: each for each in before}
    return tuple(each for each in after if known.get(each.pool) is not each)


def _new_events(
    before: Sequence[ScaleEvent], after: Sequence[ScaleEvent]
) -> tuple[tuple[ScaleEvent, ...], int]:
    """The events at the front that are new, and how many of the others remain. Newest first."""
    if before is after:
        return (), len(before)
    for number, event in enumerate(after):
        if before and event is before[0]:
            kept = len(after) - number
            if all(map(lambda one, other: one is other, after[number:], before)):
                return tuple(after[:number]), kept
            break
    return tuple(after), 0
