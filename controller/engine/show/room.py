"""The nodes' room as a snapshot shows it: what each class holds and what our pods take of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controller.engine.show.tenants import lesser, requested, total_of
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.observation import ClusterRoom, NodeState, PodPhase, PoolObservation
from controller.model.readings import Absent, Fresh, Reading, last_known
from controller.model.scarcity import Resources
from controller.model.snapshot import ClusterNode, NodeClassView, PoolView, RoomView

_GONE: Final = frozenset({PodPhase.FAILED, PodPhase.UNSCHEDULED})
_EVERYWHERE: Final = ""


class RoomViews:
    """Remembers the last view: it is the same object until the room or a pool's pods change."""

    def __init__(self, fleet: Fleet) -> None:
        self._pools = {pool.key: pool for pool in fleet.pools}
        self._all = fleet.pools
        self._limit = fleet.capacity.resources
        self._most = {each.name: each.max_nodes for each in fleet.capacity.node_classes}
        self._seen: dict[PoolKey, PoolObservation] = {}
        self._on_nodes: dict[PoolKey, Counter[str]] = {}
        self._each: dict[PoolKey, Resources] = {}
        self._reading: Reading[ClusterRoom] | None = None
        self._changed = True
        self._shown = RoomView()
        self._states: dict[str, NodeState] | None = None
        self._nodes: tuple[ClusterNode, ...] = ()

    def take(self, view: PoolView) -> None:
        """Take a pool's view that is another than before."""
        before, seen = self._seen.get(view.key), view.observation
        if before is not None and before.pods is seen.pods and before.workload is seen.workload:
            return
        self._seen[view.key] = seen
        pods = last_known(seen.pods)
        on_nodes = Counter(
            pod.node
            for pod in (() if pods is None else pods.items)
            if pod.node and pod.phase not in _GONE
        )
        each = requested(self._pools[view.key], seen, 1)
        if self._on_nodes.get(view.key) != on_nodes or self._each.get(view.key) != each:
            self._on_nodes[view.key], self._each[view.key] = on_nodes, each
            self._changed = True

    def view(self, reading: Reading[ClusterRoom]) -> RoomView:
        """The view of this room."""
        if reading is not self._reading or self._changed:
            self._reading, self._changed = reading, False
            found = self._made(reading)
            if found != self._shown:
                self._shown = found
        return self._shown

    def nodes(self, reading: Reading[ClusterRoom]) -> tuple[ClusterNode, ...]:
        """The nodes of this room, sorted by name: each is the same object until it changes."""
        room = last_known(reading)
        states = {} if room is None else room.states
        if room is None or states is not self._states:
            self._states = states
            known = {node.name: node for node in self._nodes}
            found = (
                _node(name, state, "" if room is None else room.nodes.get(name, ""))
                for name, state in sorted(states.items())
            )
            self._nodes = tuple(
                before if (before := known.get(node.name)) == node else node for node in found
            )
        return self._nodes

    def _made(self, reading: Reading[ClusterRoom]) -> RoomView:
        why = ""
        if not isinstance(reading, Fresh):
            words = reading.why.value.replace("_", " ")
            why = f"{words}: {reading.detail}" if reading.detail else words
        if isinstance(reading, Absent):
            if self._limit == Resources():
                return RoomView(why=why)
            everything = self._class(_EVERYWHERE, frozenset(), None, self._limit, self._all)
            return RoomView(classes=(everything,), why=why)
        return RoomView(classes=tuple(self._classes(reading.value)), is_old=bool(why), why=why)

    def _classes(self, room: ClusterRoom) -> Iterator[NodeClassView]:
        """All nodes together first; then each class, if there are any."""
        class_of = {name: chosen or _EVERYWHERE for name, chosen in room.nodes.items()}
        whole = frozenset(class_of)
        resources = lesser(self._limit, room.resources)
        yield self._class(_EVERYWHERE, whole, None, resources, self._all)
        for name, resources in room.classes.items():
            nodes = frozenset(node for node, chosen in class_of.items() if chosen == name)
            pools = [pool for pool in self._pools.values() if not pool.nodes or name in pool.nodes]
            yield self._class(name, nodes, self._most.get(name), resources, pools)

    def _class(
        self,
        name: str,
        nodes: frozenset[str],
        most: int | None,
        room: Resources,
        pools: Iterable[Pool],
    ) -> NodeClassView:
        # without the nodes' names (an older recording has none) every pod counts as on one of all
        counts = {
            key: sum(
                count
                for node, count in on_nodes.items()
                if node in nodes or (name == _EVERYWHERE and not nodes)
            )
            for key, on_nodes in self._on_nodes.items()
        }
        used = total_of(
            requested(self._pools[key], self._seen[key], count) for key, count in counts.items()
        )
        typical = _typical(pools, counts)
        return NodeClassView(
            name=name,
            nodes=tuple(sorted(nodes)),
            most_nodes=most,
            room=room,
            used=used,
            pods=sum(counts.values()),
            typical=typical,
            fits=None if typical is None else _fits(room, used, self._each.get(typical)),
        )


def _node(name: str, state: NodeState, node_class: str) -> ClusterNode:
    return ClusterNode(
        name=name,
        node_class=node_class,
        holds=state.holds or Resources(),
        taints=state.taints,
        closed=state.closed,
    )


def _typical(pools: Iterable[Pool], counts: Mapping[PoolKey, int]) -> PoolKey | None:
    """The pool with most pods there; the first of the fleet where several have as many."""
    return max((pool.key for pool in pools), key=lambda key: counts.get(key, 0), default=None)


def _fits(room: Resources, used: Resources, each: Resources | None) -> int | None:
    """How many more of these replicas the room holds; None where that is not known."""
    if each is None or each.cpu_milli is None or each.memory_bytes is None:
        return None
    amounts = (
        (room.replicas, used.replicas, 1),
        (room.cpu_milli, used.cpu_milli, each.cpu_milli),
        (room.memory_bytes, used.memory_bytes, each.memory_bytes),
    )
    found: list[int] = []
    for there, taken, one in amounts:
        if there is None or taken is None:
            return None
        if one:
            found.append(max(there - taken, 0) // one)
    return min(found)
