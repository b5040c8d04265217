"""The cluster's nodes, and the room that they have for pods."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from controller.kube import wire
from controller.kube.client import Client, LinkTracker
from controller.kube.quotas import added
from controller.kube.watch import (
    Freshness,
    KindView,
    ReadingOf,
    Reflector,
    RefusedObject,
    Seen,
    WatchTarget,
    parsed,
    seen,
)
from controller.kube.workloads import ClusterWorkloads
from controller.model.decoding import UndecodableError
from controller.model.ids import WorkloadName
from controller.model.observation import ClusterRoom, NodeState
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import NodeClass, Resources
from controller.model.text import clean, clean_name
from controller.model.value import INT64_MAX, MILLI, Value
from controller.notation.quantity import ImplausibleAmountError, exact_amount, rounded_down
from controller.ports import Clock

_KEEPS_AWAY: Final = frozenset({"NoSchedule", "NoExecute"})
# Taints that Kubernetes and its node autoscalers put on a node that takes no pods. Taints that
# people set (spot, dedicated, GPU) are ignored here: the pods meant for such nodes tolerate them.
_CLOSED_BY: Final = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "node-role.kubernetes.io/",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
)
# a person reads them: a node with more taints shows only these
_MOST_TAINTS: Final = 8
_NO_ROOM: Final = Resources(replicas=0, cpu_milli=0, memory_bytes=0)
_UNKNOWN: Final = Resources()


class NodeRoom(Value):
    """One node: its labels, what it can hold, and whether it takes pods. `ends` is the taint that
    says that it ends soon, empty if there is none.
    """

    labels: dict[str, str]
    state: NodeState
    ends: str = ""

    @property
    def open_room(self) -> Resources | None:
        """What it can hold; None while it takes no pods, or where that was never readable."""
        return None if self.state.closed else self.state.holds


class NodeView(KindView[Seen[wire.WireNode]]):
    """All nodes by name. A node is open when it is Ready, not cordoned, and has no taint of
    Kubernetes itself.

    If a node's amounts are implausible or unreadable, its last good ones count, and `refused` says
    what is wrong. A node that was never readable counts as closed.

    The use by other pods (of other namespaces, of DaemonSets) is not subtracted: it is not known,
    because that would need a watch on all pods of the cluster. If a pod fits on no node, the
    scheduler reports it, and the pool stops growing.
    """

    def __init__(self, ending_taints: Sequence[str] = ()) -> None:
        """`ending_taints` are keys of taints, beside the usual ones, that say that a node ends."""
        self._ending_taints = tuple(ending_taints)
        self._nodes: dict[str, NodeRoom] = {}
        self._refused: dict[str, RefusedObject] = {}
        self._sizes: dict[str, Resources] = {}
        self._room = ClusterRoom()
        self._classes: tuple[NodeClass, ...] | None = None  # those of `_room` while it is valid

    @property
    def refused(self) -> RefusedObject | None:
        """What is wrong with the first implausible or unreadable node; None if there is none."""
        return next(iter(self._refused.values()), None)

    @property
    def is_known(self) -> bool:
        """Whether the amounts of any node are known, or there are no nodes."""
        return not self._nodes or any(node.state.holds is not None for node in self._nodes.values())

    def room(self, classes: tuple[NodeClass, ...]) -> ClusterRoom:
        """What all nodes together can hold, and those of each class: the existing nodes, and those
        that the class's autoscaler may still add. The same object while this does not change.
        """
        if self._classes is not classes and self._classes != classes:
            room = self._add_up(classes)
            if room != self._room:
                self._room = room
            self._classes = classes
        return self._room

    def names(self) -> Collection[str]:
        """The names of all nodes."""
        return self._nodes.keys()

    def read(self, raw: msgspec.Raw) -> Seen[wire.WireNode] | None:
        """What we read of a node."""
        return seen(wire.NODE, raw)

    def take(self, record: Seen[wire.WireNode]) -> None:
        """One was added or changed."""
        name, known = record.name, self._nodes.get(record.name)
        node, refused = _node(record, known, self._ending_taints)
        if refused is None:
            self._refused.pop(name, None)
        elif refused != self._refused.get(name):
            self._refused[name] = refused
        if known != node:
            self._nodes[name] = node
            self._classes = None

    def drop(self, name: str) -> None:
        """One is gone."""
        self._refused.pop(name, None)
        if self._nodes.pop(name, None) is not None:
            self._classes = None

    def _add_up(self, classes: tuple[NodeClass, ...]) -> ClusterRoom:
        members: dict[str | None, list[NodeRoom]] = {each.name: [] for each in classes}
        names: dict[str, str] = {}
        for name, node in self._nodes.items():
            chosen = class_of(node.labels, classes)
            members.setdefault(chosen, []).append(node)
            names[name] = chosen or ""
        rooms: dict[str, Resources] = {}
        for each in classes:
            nodes = members[each.name]
            holds = (node.state.holds for node in nodes)
            if sizes := [each for each in holds if each and each.cpu_milli]:
                self._sizes[each.name] = _smallest(sizes)
            rooms[each.name] = class_room(nodes, each, self._sizes.get(each.name))
        others = added(list(_open(members.get(None, ()))))
        total = _UNKNOWN if _UNKNOWN in rooms.values() else added([others, *rooms.values()])
        states = {name: node.state for name, node in self._nodes.items()}
        ending = {name: node.ends for name, node in self._nodes.items() if node.ends}
        return ClusterRoom(
            resources=total, classes=rooms, nodes=names, states=states, ending=ending
        )


def room_reading(
    room: Reading[ClusterRoom], refused: RefusedObject | None, *, known: bool
) -> Reading[ClusterRoom]:
    """The reading of the room after refused nodes: Stale if a node was refused, Absent if then the
    amounts of no node are `known`, else unchanged.
    """
    if refused is None or not isinstance(room, Fresh):
        return room
    if not known:
        return Absent(why=refused.why, at=room.at, detail=refused.detail)
    return Stale(value=room.value, at=room.at, why=refused.why, detail=refused.detail)


def class_of(labels: dict[str, str], classes: Sequence[NodeClass]) -> str | None:
    """The name of the first class whose selector matches these labels, else of the first class
    without a selector; None if there is none.
    """
    chosen = (each.name for each in classes if each.selector and parsed(each.selector)(labels))
    rest = (each.name for each in classes if not each.selector)
    return next(chosen, next(rest, None))


def class_room(nodes: Sequence[NodeRoom], limits: NodeClass, size: Resources | None) -> Resources:
    """What the open nodes of a class hold, plus the nodes that its autoscaler may still add.

    An added node counts with `size`, the smallest node of the class when it last had nodes. If none
    was ever seen and some may be added, the room is not known, so there is no limit. Without
    `max_nodes` the class has its existing nodes, or at least `min_nodes`.
    """
    most = limits.min_nodes if limits.max_nodes is None else limits.max_nodes
    more = max(0, most - len(nodes))
    if more and size is None:
        return _UNKNOWN
    return added([*_open(nodes), _times(size or _NO_ROOM, more)])


def _open(nodes: Iterable[NodeRoom]) -> Iterator[Resources]:
    return (room for node in nodes if (room := node.open_room) is not None)


def _times(size: Resources, nodes: int) -> Resources:
    return Resources(
        replicas=min(INT64_MAX, (size.replicas or 0) * nodes),
        cpu_milli=min(INT64_MAX, (size.cpu_milli or 0) * nodes),
        memory_bytes=min(INT64_MAX, (size.memory_bytes or 0) * nodes),
    )


def _smallest(sizes: Sequence[Resources]) -> Resources:
    return Resources(
        replicas=min(size.replicas or 0 for size in sizes),
        cpu_milli=min(size.cpu_milli or 0 for size in sizes),
        memory_bytes=min(size.memory_bytes or 0 for size in sizes),
    )


def _node(
    record: Seen[wire.WireNode], known: NodeRoom | None, ending_taints: Sequence[str]
) -> tuple[NodeRoom, RefusedObject | None]:
    """A node, and what is wrong with it. Unreadable parts are taken from the `known` node."""
    name, found = record
    if isinstance(found, UndecodableError):
        closed = NodeRoom(labels={}, state=NodeState(closed="it cannot be read"))
        return known or closed, _refused(name, found)
    status, spec = found.status or wire.WireNodeStatus(), found.spec or wire.WireNodeSpec()
    holds, refused = None if known is None else known.state.holds, None
    try:
        holds = _allocatable(status)
    except ValueError as error:
        refused = _refused(name, error)
    labels, taints = found.metadata.labels or {}, spec.taints or ()
    node = NodeRoom(
        labels={clean_name(key): clean_name(value) for key, value in labels.items()},
        state=NodeState(
            holds=holds,
            taints=tuple(map(_taint, taints[:_MOST_TAINTS])),
            closed=_closed(spec, status),
        ),
        ends=ending_taint(taints, ending_taints),
    )
    return node, refused


def _allocatable(status: wire.WireNodeStatus) -> Resources:
    """status.allocatable: what its pods may use together. Raises ValueError."""
    amounts = status.allocatable or wire.WireAmounts()
    return Resources(
        replicas=rounded_down(exact_amount(amounts.pods or 0)),
        cpu_milli=rounded_down(exact_amount(amounts.cpu or 0), MILLI),
        memory_bytes=rounded_down(exact_amount(amounts.memory or 0)),
    )


def _refused(name: str, error: ValueError) -> RefusedObject:
    implausible = isinstance(error, ImplausibleAmountError)
    why = Why.IMPLAUSIBLE if implausible else Why.UNREADABLE
    return RefusedObject(why=why, detail=clean(f"node {name}: {error}"))


def _closed(spec: wire.WireNodeSpec, status: wire.WireNodeStatus) -> str:
    """Why the node takes no pods, in words; empty if it takes them."""
    if not any(each.type == "Ready" and each.status == "True" for each in status.conditions or ()):
        return "not Ready"
    if spec.unschedulable:
        return "cordoned"
    taint = next((each for each in spec.taints or () if _closes(each)), None)
    return "" if taint is None else f"tainted {clean_name(taint.key)}"


def _taint(taint: wire.WireTaint) -> str:
    value = f"={taint.value}" if taint.value else ""
    return clean_name(f"{taint.key}{value}:{taint.effect}")


def _closes(taint: wire.WireTaint) -> bool:
    return taint.effect in _KEEPS_AWAY and taint.key.startswith(_CLOSED_BY)


ENDING_TAINTS: Final = (
    # the cluster autoscaler, just before it drains and deletes the node
    "ToBeDeletedByClusterAutoscaler",
    # Karpenter, before it drains the node: since v1, and before
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    # AWS node termination handler: spot interruption, scheduled event, end of its scaling group
    "aws-node-termination-handler/",
    # GKE: the machine is preempted or shut down
    "cloud.google.com/impending-node-termination",
    # Kubernetes and its cloud controllers: the machine is down
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/shutdown",
)
"""Keys, or with `/` at their end the beginnings of keys. Taints of whole groups of nodes, such as
`kubernetes.azure.com/scalesetpriority`, say only that a node may end some day.
"""


def ending_taint(taints: Iterable[wire.WireTaint], further: Iterable[str]) -> str:
    """The key of the first taint that says that its node ends soon; empty if there is none.
    `further` are keys beside those above.
    """
    signs = (*ENDING_TAINTS, *further)
    keys = (taint.key for taint in taints if any(_matches(taint.key, sign) for sign in signs))
    return clean_name(next(keys, ""))


def _matches(key: str, sign: str) -> bool:
    return key.startswith(sign) if sign.endswith("/") else key == sign


class ClusterSupply:
    """The `Supply` port. One reflector watches all nodes.

    A reading stays the same object until it changes.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        link: LinkTracker,
        workloads: ClusterWorkloads,
        ending_taints: Sequence[str] = (),
    ) -> None:
        """`ending_taints` are further keys of taints that say that a node ends."""
        self._workloads = workloads
        self._nodes = NodeView(ending_taints)
        self._answer = asyncio.Event()
        self._freshness = Freshness(clock, link, on_answer=self._answer.set)
        self._kept: ReadingOf[ClusterRoom] = ReadingOf()
        self._reflector = Reflector(
            client,
            WatchTarget(kind="nodes", path="/api/v1/nodes"),
            self._nodes,
            self._freshness,
            clock,
        )

    def quota(self, namespace: str, workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        """What the namespace's quotas leave for these workloads together."""
        return self._workloads.quota(namespace, workloads)

    def room(self, classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        """What all nodes can hold, and those of each class; Absent(REFUSED) without the right to
        list nodes.
        """
        room, refused = self._nodes.room(tuple(classes)), self._nodes.refused

        def make() -> Reading[ClusterRoom]:
            judged = self._freshness.judge(room)
            return room_reading(judged, refused, known=self._nodes.is_known)

        return self._kept.get(make, room, refused, self._freshness.trust())

    async def run(self) -> None:
        """Watch the nodes until cancelled."""
        await self._reflector.run()

    async def wait_seen(self) -> None:
        """Return when the nodes were listed, or it is known why they cannot be."""
        await self._answer.wait()
