"""A snapshot as what differs from the one before, and a snapshot made from that again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from controller.model.ids import PoolKey
from controller.model.snapshot import (
    ClusterNode,
    History,
    PoolView,
    QueueRates,
    RoomView,
    ScaleEvent,
    Snapshot,
    TenantView,
)
from controller.model.value import Value

_NO_ROOM: Final = RoomView()


class SnapshotChange(Value):
    """What makes the snapshot `head.sequence` out of the one with the sequence `base`; a whole
    snapshot where `base` is None.

    - `head`: the snapshot without its pools, queues, tenants, nodes, events and histories, and of a
      difference without its room.
    - `pools`, `queues`, `tenants`, `histories`, `tenant_histories`, `nodes`: those that differ.
      `keys`, `tenant_names` and `node_names`: all pools, tenants and nodes in order, None where
      they are the same ones. `room`: all of it, None where nothing differs.
    - `events`: those that are new; of the ones before, the newest `events_kept` remain.
    """

    head: Snapshot
    base: int | None = None
    pools: tuple[PoolView, ...] = ()
    keys: tuple[PoolKey, ...] | None = None
    queues: tuple[QueueRates, ...] = ()
    tenants: tuple[TenantView, ...] | None = None
    tenant_names: tuple[str, ...] | None = None
    room: RoomView | None = None
    nodes: tuple[ClusterNode, ...] = ()
    node_names: tuple[str, ...] | None = None
    histories: Mapping[PoolKey, History] = {}
    tenant_histories: Mapping[str, History] = {}
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
        nodes=snapshot.nodes,
        histories=snapshot.histories,
        tenant_histories=snapshot.tenant_histories,
        events=snapshot.events,
    )


def difference(before: Snapshot, after: Snapshot) -> SnapshotChange:
    """What differs between two snapshots of one process. What is the same object is the same."""
    if before.epoch != after.epoch:
        return whole(after)
    views = {view.key: view for view in before.pools}
    keys = tuple(view.key for view in after.pools)
    new, kept = _new_events(before.events, after.events)
    nodes, names = _new_named(before.nodes, after.nodes)
    tenants, tenant_names = _new_named(before.tenants, after.tenants)
    return SnapshotChange(
        head=replace(_head(after), room=_NO_ROOM),
        base=before.sequence,
        pools=tuple(view for view in after.pools if views.get(view.key) is not view),
        keys=None if keys == tuple(views) else keys,
        queues=_new_queues(before.queues, after.queues),
        tenants=tenants or None,
        tenant_names=tenant_names,
        room=None if after.room == before.room else after.room,
        nodes=nodes,
        node_names=names,
        histories=_new_histories(before.histories, after.histories),
        tenant_histories=_new_histories(before.tenant_histories, after.tenant_histories),
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
            nodes=change.nodes,
            events=change.events,
            histories=dict(change.histories),
            tenant_histories=dict(change.tenant_histories),
        )
    if before is None or (before.epoch, before.sequence) != (head.epoch, change.base):
        raise MissedSnapshotError(f"a change of snapshot {change.base}, which is not there")
    pools, queues = before.pools, before.queues
    if change.queues or change.keys is not None:
        rates = {_place(each): each for each in (*before.queues, *change.queues)}
        keys = tuple(view.key for view in before.pools) if change.keys is None else change.keys
        order = {key: number for number, key in enumerate(keys)}
        kept = (each for each in rates.values() if each.pool in order)
        queues = tuple(sorted(kept, key=lambda each: (order[each.pool], each.number)))
    if change.pools or change.keys is not None:
        views = {view.key: view for view in before.pools}
        views.update((view.key, view) for view in change.pools)
        keys = tuple(views) if change.keys is None else change.keys
        pools = tuple(views[key] for key in keys if key in views)
    histories, of_tenants = before.histories, before.tenant_histories
    if change.histories:
        histories = {**histories, **change.histories}
    if change.tenant_histories:
        of_tenants = {**of_tenants, **change.tenant_histories}
    events = before.events
    if change.events or change.events_kept != len(before.events):
        events = (*change.events, *before.events[: change.events_kept])
    return replace(
        head,
        pools=pools,
        queues=queues,
        tenants=_named(before.tenants, change.tenants or (), change.tenant_names),
        room=before.room if change.room is None else change.room,
        nodes=_named(before.nodes, change.nodes, change.node_names),
        events=events,
        histories=histories,
        tenant_histories=of_tenants,
    )


def _head(snapshot: Snapshot) -> Snapshot:
    return replace(
        snapshot,
        pools=(),
        queues=(),
        tenants=(),
        nodes=(),
        events=(),
        histories={},
        tenant_histories={},
    )


_Key = TypeVar("_Key", bound=str)


def _new_histories(
    before: Mapping[_Key, History], after: Mapping[_Key, History]
) -> Mapping[_Key, History]:
    if after is before:
        return {}
    return {key: history for key, history in after.items() if before.get(key) is not history}


_Named = TypeVar("_Named", TenantView, ClusterNode)


def _new_named(
    before: tuple[_Named, ...], after: tuple[_Named, ...]
) -> tuple[tuple[_Named, ...], tuple[str, ...] | None]:
    """Those that differ, and the names of all; None where they are the same ones."""
    if after is before:
        return (), None
    known = {each.name: each for each in before}
    names = tuple(each.name for each in after)
    differing = tuple(each for each in after if known.get(each.name) != each)
    return differing, None if names == tuple(known) else names


def _named(
    before: tuple[_Named, ...], differing: Sequence[_Named], names: tuple[str, ...] | None
) -> tuple[_Named, ...]:
    """All of them after the change; the same ones where nothing differs."""
    if not differing and names is None:
        return before
    known: dict[str, _Named] = {each.name: each for each in before}
    known.update((each.name, each) for each in differing)
    return tuple(known[name] for name in (known if names is None else names) if name in known)


def _new_queues(
    before: tuple[QueueRates, ...], after: tuple[QueueRates, ...]
) -> tuple[QueueRates, ...]:
    if after is before:
        return ()
    known = {_place(each): each for each in before}
    return tuple(each for each in after if known.get(_place(each)) is not each)


def _place(rates: QueueRates) -> tuple[PoolKey, int]:
    return rates.pool, rates.number


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


class SnapshotVersion(NamedTuple):
    """Each part is from 0 to 65,535."""

    major: int
    minor: int

    def __str__(self) -> str:
        """`4.2`."""
        return f"{self.major}.{self.minor}"

    @property
    def is_readable(self) -> bool:
        """Whether this version can read it, as far as the number says."""
        return self.major == SNAPSHOT_VERSION.major

    @property
    def is_newer(self) -> bool:
        """Whether it may have fields that this version does not know."""
        return self > SNAPSHOT_VERSION


SNAPSHOT_VERSION: Final = SnapshotVersion(1, 3)


class OtherVersionError(Exception):
    """A snapshot of another version, which this one cannot read."""


def words_for_controller(theirs: SnapshotVersion) -> str:
    """Why a controller's snapshots cannot be shown, and what to do."""
    todo = "update this agentdash" if theirs > SNAPSHOT_VERSION else "update the controller"
    return (
        f"this controller speaks snapshot version {theirs}, this dashboard {SNAPSHOT_VERSION}:"
        f" {todo}"
    )


def words_for_journal(theirs: SnapshotVersion) -> str:
    """Why a journal's snapshots cannot be shown, and what to do."""
    todo = "update agentdash" if theirs > SNAPSHOT_VERSION else "an older agentdash reads it"
    return f"is of snapshot version {theirs}, this agentdash reads {SNAPSHOT_VERSION}: {todo}"
