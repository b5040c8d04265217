"""Ticks of a fleet that changes at random, and journals of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random

from msgspec.structs import replace

from controller.model.settings import JournalSettings
from controller.model.snapshot import (
    ClusterNode,
    History,
    LoopStats,
    NodeClassView,
    QueueRates,
    RoomView,
    Snapshot,
    TenantView,
    Timeline,
)
from controller.record.frames import change_line, whole_line
from controller.record.journal import JournalFiles
from tui import scenarios


def next_snapshot(before: Snapshot, choose: Random) -> Snapshot:
    """A tick later: some pools changed, came or went, and some events and histories are new."""
    pools = list(before.pools)
    for place in choose.sample(range(len(pools)), min(2, len(pools))):
        pools[place] = replace(pools[place], max=choose.randrange(100))
    if choose.random() < 0.2 and len(pools) > 1:
        pools.pop(choose.randrange(len(pools)))
    if choose.random() < 0.2:
        choose.shuffle(pools)
    events = before.events
    if choose.random() < 0.5:
        event = replace(scenarios.events()[0], at=before.at + 1)
        events = (event, *events)[: choose.choice([3, 6, 9])]
    rates = {view.key: QueueRates(pool=view.key) for view in pools}
    rates.update((each.pool, each) for each in before.queues if each.pool in rates)
    moved = choose.choice([*rates, None])
    if moved is not None:
        rates[moved] = QueueRates(pool=moved, arrivals_per_minute=choose.random())
    tenants = before.tenants
    if choose.random() < 0.3:
        tenants = (TenantView(name="acme", tier="t", namespace="n", pools=choose.randrange(9)),)
    nodes = list(before.nodes)
    if choose.random() < 0.4:
        name = f"n{choose.randrange(5)}"
        nodes = [node for node in nodes if node.name != name]
        if choose.random() < 0.7:
            nodes.append(ClusterNode(name=name, closed=choose.choice(["", "cordoned"])))
            nodes.sort(key=lambda node: node.name)
    room = before.room
    if choose.random() < 0.3:
        room = RoomView(classes=(NodeClassView(name="", pods=choose.randrange(9)),))
    histories = before.histories
    if choose.random() < 0.5 and pools:
        timeline = Timeline(pending=(choose.randrange(9),), ready=(1,), target=(1,))
        histories = {**histories, choose.choice(pools).key: History(recent=timeline)}
    of_tenants = before.tenant_histories
    if choose.random() < 0.3:
        of_tenants = {"acme": History(recent=Timeline(tokens=(choose.randrange(9),)))}
    return replace(
        before,
        sequence=before.sequence + 1,
        at=before.at + 1,
        pools=tuple(pools),
        queues=tuple(rates[view.key] for view in pools),
        tenants=tenants,
        nodes=tuple(nodes),
        room=room,
        events=events,
        histories=histories,
        tenant_histories=of_tenants,
    )


def quiet_tick(before: Snapshot, seconds: float = 1.0) -> Snapshot:
    """A tick later, in which nothing but time went on."""
    loop = LoopStats(ticks=before.loop.ticks + 1, writes=before.loop.writes)
    links = tuple(replace(link, last_good_at=before.at) for link in before.links)
    return replace(
        before, sequence=before.sequence + 1, at=before.at + seconds, loop=loop, links=links
    )


def busy_tick(before: Snapshot, seconds: float = 1.0) -> Snapshot:
    """A tick later, in which one pool's most replicas became the snapshot's number."""
    first, *rest = before.pools
    pools = (replace(first, max=before.sequence + 1), *rest)
    return replace(quiet_tick(before, seconds), pools=pools)


def write_journal(path: Path, snapshots: Iterable[Snapshot], *, whole_every: int = 10) -> None:
    """A journal of these snapshots in one file."""
    files = JournalFiles(JournalSettings(path=str(path)))
    before: Snapshot | None = None
    for number, snapshot in enumerate(snapshots):
        files.is_new(snapshot.at)
        is_whole = before is None or before.epoch != snapshot.epoch or number % whole_every == 0
        line = (
            whole_line(snapshot, before)
            if before is None or is_whole
            else change_line(before, snapshot)
        )
        files.append(line, snapshot.at, to_disk=False)
        before = snapshot
    files.close()
