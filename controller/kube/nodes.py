"""The cluster's nodes, and the room they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from controller.kube import wire
from controller.kube.quantity import at_most
from controller.kube.selectors import parsed
from controller.kube.usage import added
from controller.model.observation import ClusterRoom
from controller.model.scarcity import NodeClass, Resources
from controller.model.text import clean_name
from controller.model.value import Value

_KEEPS_AWAY: Final = frozenset({"NoSchedule", "NoExecute"})
# What Kubernetes and its node autoscalers put on a node that is to be left alone. Taints of people
# (spot, dedicated, GPU) say nothing here: the pods they are meant for tolerate them.
_CLOSED_BY: Final = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "node-role.kubernetes.io/",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
)
_NOTHING: Final = Resources(replicas=0, cpu_milli=0, memory_bytes=0)
_UNKNOWN: Final = Resources()


class NodeRoom(Value):
    """One node: what it can hold when it is open, and whether it is."""

    labels: dict[str, str]
    holds: Resources
    is_open: bool


class NodeView:
    """All nodes by name. A node is open when it is Ready, not cordoned, and under no taint of
    Kubernetes' own; what cannot be read is closed.

    What other pods take of the nodes (those of other namespaces, DaemonSets) is not known here and
    not taken off: to see it one would have to watch every pod of the cluster. The scheduler's own
    word about pods without a node still stops growth.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, NodeRoom] = {}
        self._sizes: dict[str, Resources] = {}
        self._room: tuple[tuple[NodeClass, ...], ClusterRoom] | None = None

    def room(self, classes: tuple[NodeClass, ...]) -> ClusterRoom:
        """What all nodes hold together, and what those of each class do: as many as there are, and
        as its autoscaler may still add.
        """
        if self._room is None or self._room[0] != classes:
            self._room = classes, self._made(classes)
        return self._room[1]

    def replace(self, objects: Sequence[msgspec.Raw]) -> None:
        """These are all there are."""
        names = {self._take(found) for found in objects}
        for name in self._nodes.keys() - names:
            self._drop(name)

    def put(self, found: msgspec.Raw) -> None:
        """One was added or changed."""
        self._take(found)

    def remove(self, gone: msgspec.Raw) -> None:
        """One was deleted."""
        if (name := _name(gone)) is not None:
            self._drop(name)

    def _take(self, found: msgspec.Raw) -> str | None:
        name = _name(found)
        if name is not None:
            node = _node(found)
            if self._nodes.get(name) != node:
                self._nodes[name] = node
                self._room = None
        return name

    def _drop(self, name: str) -> None:
        if self._nodes.pop(name, None) is not None:
            self._room = None

    def _made(self, classes: tuple[NodeClass, ...]) -> ClusterRoom:
        members: dict[str | None, list[NodeRoom]] = {each.name: [] for each in classes}
        for node in self._nodes.values():
            members.setdefault(class_of(node.labels, classes), []).append(node)
        rooms: dict[str, Resources] = {}
        for each in classes:
            nodes = members[each.name]
            if sizes := [node.holds for node in nodes if node.holds.cpu_milli]:
                self._sizes[each.name] = _smallest(sizes)
            rooms[each.name] = class_room(nodes, each, self._sizes.get(each.name))
        others = added(list(_open(members.get(None, ()))))
        total = _UNKNOWN if _UNKNOWN in rooms.values() else added([others, *rooms.values()])
        return ClusterRoom(resources=total, classes=rooms)


def class_of(labels: dict[str, str], classes: Sequence[NodeClass]) -> str | None:
    """The first class whose selector takes a node; one without a selector has what no other has."""
    chosen = (each.name for each in classes if each.selector and parsed(each.selector)(labels))
    rest = (each.name for each in classes if not each.selector)
    return next(chosen, next(rest, None))


def class_room(nodes: Sequence[NodeRoom], limits: NodeClass, size: Resources | None) -> Resources:
    """What the open nodes of a class hold, and those that its autoscaler may still add.

    An added node is taken to be of `size`, the smallest of the class that was seen last. Where none
    was ever seen and some may come, nobody can say: no amount is a limit then. Without `max_nodes`
    the class has the nodes that are there, or at least `min_nodes`.
    """
    most = limits.min_nodes if limits.max_nodes is None else limits.max_nodes
    more = max(0, most - len(nodes))
    if more and size is None:
        return _UNKNOWN
    return added([*_open(nodes), _times(size or _NOTHING, more)])


def _open(nodes: Iterable[NodeRoom]) -> Iterator[Resources]:
    return (node.holds for node in nodes if node.is_open)


def _times(size: Resources, nodes: int) -> Resources:
    return Resources(
        replicas=(size.replicas or 0) * nodes,
        cpu_milli=(size.cpu_milli or 0) * nodes,
        memory_bytes=(size.memory_bytes or 0) * nodes,
    )


def _smallest(sizes: Sequence[Resources]) -> Resources:
    return Resources(
        replicas=min(size.replicas or 0 for size in sizes),
        cpu_milli=min(size.cpu_milli or 0 for size in sizes),
        memory_bytes=min(size.memory_bytes or 0 for size in sizes),
    )


def _node(raw: msgspec.Raw) -> NodeRoom:
    try:
        found = wire.NODE.decode(raw)
        status = found.status or wire.WireNodeStatus()
        amounts = status.allocatable or wire.WireAmounts()
        holds = Resources(
            replicas=at_most(amounts.pods or 0),
            cpu_milli=at_most(amounts.cpu or 0, 1000),
            memory_bytes=at_most(amounts.memory or 0),
        )
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return NodeRoom(labels={}, holds=_NOTHING, is_open=False)
    labels = found.metadata.labels or {}
    return NodeRoom(
        labels={clean_name(key): clean_name(value) for key, value in labels.items()},
        holds=holds,
        is_open=_is_open(found.spec or wire.WireNodeSpec(), status),
    )


def _is_open(spec: wire.WireNodeSpec, status: wire.WireNodeStatus) -> bool:
    ready = any(each.type == "Ready" and each.status == "True" for each in status.conditions or ())
    return ready and not spec.unschedulable and not any(_closes(each) for each in spec.taints or ())


def _closes(taint: wire.WireTaint) -> bool:
    return taint.effect in _KEEPS_AWAY and taint.key.startswith(_CLOSED_BY)


def _name(raw: msgspec.Raw) -> str | None:
    try:
        return clean_name(wire.IDENTIFIED.decode(raw).metadata.name)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
