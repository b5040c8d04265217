"""The nodes: room by class, the pods that fit nowhere, and each node for itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from agentdash.tui import figures
from agentdash.tui.cells import (
    RESOURCES,
    age_span,
    pool_column,
    resource_columns,
    unknown_span,
    value_span,
)
from agentdash.tui.lines import Line, Span, Tone, cut, labelled, labelled_text
from agentdash.tui.table import Column, Opening, Table, View
from agentdash.tui.tables.pods import PodRow, pods_of
from agentdash.tui.view import Frame
from controller.model.decision import Gate
from controller.model.intents import Scope
from controller.model.observation import PodPhase
from controller.model.scarcity import Resources
from controller.model.snapshot import ClusterNode, NodeClassView

_ALL_NODES: Final = "all nodes"
_NEARLY_FULL: Final = 0.9
_GONE: Final = frozenset({PodPhase.FAILED, PodPhase.UNSCHEDULED})
_OF_THE_ROOM: Final = "{} taken by this fleet, of the room"


def _is_old(frame: Frame) -> bool:
    """Whether only the nodes' last known state can be shown."""
    return frame.snapshot is not None and frame.snapshot.room.is_old


def _room_span(
    sides: tuple[Resources, Resources], frame: Frame, field: str, text: Callable[[int], str]
) -> Span:
    """`6.5/12`: what is used of the room; `?` for a part that is not known."""
    used, room = (getattr(each, field) for each in sides)
    shown = "/".join(frame.glyphs.unknown if each is None else text(each) for each in (used, room))
    full = used is None or room is None or (used > 0 and used >= _NEARLY_FULL * room)
    return value_span(shown, frame, old=_is_old(frame), tone=Tone.WARN if full else Tone.PLAIN)


# -- classes ----------------------------------------------------------------------------------


def class_name(view: NodeClassView) -> str:
    """The name of a class; the one without a name is all nodes."""
    return view.name or _ALL_NODES


def _room_of_class(view: NodeClassView) -> tuple[Resources, Resources]:
    used = view.used
    pods = Resources(replicas=view.pods, cpu_milli=used.cpu_milli, memory_bytes=used.memory_bytes)
    return pods, view.room


def _count(view: NodeClassView, frame: Frame) -> Span:
    there = len(view.nodes)
    if not there and view.most_nodes is None:
        return unknown_span(frame)
    text = str(there) if view.most_nodes is None else f"{there}/{view.most_nodes}"
    return value_span(text, frame, old=_is_old(frame))


def _fits(view: NodeClassView, frame: Frame) -> Span:
    if view.fits is None:
        return unknown_span(frame)
    tone = Tone.PLAIN if view.fits else Tone.CRIT
    return value_span(figures.count(view.fits, 6), frame, old=_is_old(frame), tone=tone)


_Class = Column[NodeClassView]
_CLASS_COLUMNS: Final = (
    _Class("CLASS", 10, "the class of the node", "class", class_name),
    _Class(
        "NODES", 6, "how many nodes, of the most there may be", "nodes",
        lambda view: list(view.nodes), _count,
        more={"nodes_limit": "most_nodes"}, right=True,
    ),
    *resource_columns(
        _room_of_class,
        lambda view, frame, field, text: _room_span(_room_of_class(view), frame, field, text),
        _OF_THE_ROOM, (11, 9, 13),
    ),
    _Class(
        "FREE", 6, "replicas for which there is room", "free_replicas", "fits", _fits, right=True,
    ),
    _Class(
        "REPLICAS OF", 14, "the pool whose replicas are counted", "of_pool", "typical",
        widest=34, names=True,
    ),
)  # fmt: skip


def class_lines(view: NodeClassView, frame: Frame, width: int) -> Iterator[Line]:
    """The room of a class in words: its nodes, what is used, and what still fits."""
    room = None if frame.snapshot is None else frame.snapshot.room
    if room is not None and room.why:
        label = "old" if room.is_old else "no nodes"
        yield from labelled_text(label, room.why, width, Tone.WARN)
    most = "" if view.most_nodes is None else f", at most {view.most_nodes}"
    names = cut(", ".join(view.nodes), max(width - 40, 10), frame.glyphs.ellipsis)
    count = f"{figures.amount(len(view.nodes), 'node')}{most}"
    yield from labelled("nodes", (count, Span(names, Tone.DIM)), width)
    shares = [
        f"{name} {figures.percent(used / there)}"
        for name, field, _ in RESOURCES
        if (used := getattr(view.used, field)) is not None and (there := getattr(view.room, field))
    ]
    note = Span("by this fleet's pods alone", Tone.DIM)
    yield from labelled("taken", (*shares, note), width)
    if view.typical is not None and view.fits is not None:
        fits = f"{figures.amount(view.fits, 'more replica')} of {view.typical}"
        yield from labelled("fits", (fits,), width)


def _opens_class(view: NodeClassView, frame: Frame) -> Opening | None:
    """Its nodes."""
    del frame

    def is_of_class(row: NodeRow) -> bool:
        return view.name in {"", row.node.node_class}

    return Opening("class", of=class_name(view), where=is_of_class) if view.nodes else None


def _nothing_known(frame: Frame) -> list[Span]:
    """Nodes that cannot be read are no limit, and the reason is said."""
    why = "" if frame.snapshot is None else frame.snapshot.room.why
    text = cut(why or "nothing has been read yet", 74, frame.glyphs.ellipsis)
    return [Span("no nodes are known, so they set no limit", Tone.WARN), Span(text, Tone.DIM)]


CLASSES: Final = Table[NodeClassView](
    "classes",
    "room",
    _CLASS_COLUMNS,
    lambda frame: () if frame.snapshot is None else frame.snapshot.room.classes,
    key=class_name,
    nothing=_nothing_known,
    text=lambda view: " ".join((class_name(view), *view.nodes)),
    details=class_lines,
    opens=_opens_class,
    state=lambda frame: "of all tenants" if frame.scope_words else "",
)


# -- pods without a node ----------------------------------------------------------------------


class UnplacedPods(NamedTuple):
    """The pods of one pool that no node takes: how many, since when the first waits, the
    scheduler's reason for it, and whether they keep the pool from growing.
    """

    key: str
    pods: int
    since: float
    reason: str
    stops_growth: bool


def _unplaced(frame: Frame) -> Sequence[UnplacedPods]:
    """The pools with pods that fit nowhere, the one that waits longest first."""
    found = []
    for row in frame.rows:
        items = () if row.pods is None else row.pods.items
        waiting = [pod for pod in items if pod.phase is PodPhase.UNSCHEDULED]
        if waiting:
            first = min(waiting, key=lambda pod: pod.created_at)
            decision, reason = row.view.decision, first.message or first.reason
            stops = decision is not None and decision.gate is Gate.NOT_BECOMING_READY
            found.append(UnplacedPods(row.key, len(waiting), first.created_at, reason, stops))
    return sorted(found, key=lambda each: (each.since, each.key))


def _nobody_waits(frame: Frame) -> list[Span]:
    """What is said where no pod is seen to wait for a node."""
    unknown = sum(row.pods is None for row in frame.rows)
    if unknown:
        return [Span(f"the pods of {figures.amount(unknown, 'pool')} are not known", Tone.WARN)]
    return [Span("every pod has a node", Tone.OK)]


_Unplaced = Column[UnplacedPods]
_UNPLACED_COLUMNS: Final[Sequence[_Unplaced]] = (
    pool_column("key"),
    _Unplaced("PODS", 4, "how many pods", "pods", tone=Tone.CRIT, right=True),
    _Unplaced(
        "FOR", 6, "for how long", "since", cell=lambda row, frame: age_span(row.since, frame),
        right=True,
    ),
    _Unplaced(
        "GROWTH", 7, "whether the pool still grows", "stops_growth",
        text=lambda stops: "stopped" if stops else "goes on",
        tone=lambda row: Tone.WARN if row.stops_growth else Tone.DIM,
    ),
    _Unplaced("THE SCHEDULER SAYS", 26, "why they fit nowhere", "reason", widest=200),
)  # fmt: skip
UNPLACED: Final = Table[UnplacedPods](
    "unplaced",
    "pods that fit nowhere",
    _UNPLACED_COLUMNS,
    _unplaced,
    key=lambda row: row.key,
    nothing=_nobody_waits,
    text=lambda row: f"{row.key} {row.reason}",
    opens=lambda row, _: Opening("pods", row.key),
    about=lambda row: Scope(pool=row.key),
)


# -- single nodes -----------------------------------------------------------------------------


class NodeRow(NamedTuple):
    """One node with the pods of the fleet on it."""

    node: ClusterNode
    pods: Sequence[PodRow]

    @property
    def key(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def state(self) -> str:
        """Whether it takes pods: any, those that tolerate its taints, or none."""
        if self.node.closed:
            return "closed"
        bars = (":NoSchedule", ":NoExecute")
        return "tainted" if any(each.endswith(bars) for each in self.node.taints) else "open"

    @property
    def room(self) -> tuple[Resources, Resources]:
        """What its pods request, None where one does not say; and what it holds."""
        cpus = [pod.requests.cpu_milli for pod in self.pods]
        memory = [pod.requests.memory_bytes for pod in self.pods]
        cpu, held = (None if None in each else sum(filter(None, each)) for each in (cpus, memory))
        used = Resources(replicas=len(cpus), cpu_milli=cpu, memory_bytes=held)
        return used, self.node.holds


def _nodes(frame: Frame) -> Sequence[NodeRow]:
    """One row for each node of the snapshot, sorted by name."""
    nodes = () if frame.snapshot is None else frame.snapshot.nodes
    placed: defaultdict[str, list[PodRow]] = defaultdict(list)
    for row in frame.rows if nodes else ():
        for each in pods_of(row):
            if each.pod is not None and each.pod.phase not in _GONE:
                placed[each.pod.node].append(each)
    return [NodeRow(node, placed[node.name]) for node in nodes]


def _state(row: NodeRow, frame: Frame) -> Span:
    tones = {"closed": Tone.WARN, "tainted": Tone.BUSY}
    return value_span(row.state, frame, old=_is_old(frame), tone=tones.get(row.state, Tone.OK))


_Node = Column[NodeRow]
_NODE_COLUMNS: Final = (
    _Node("NODE", 18, "the node's name", "node", "key", widest=40, names=True),
    _Node(
        "STATE", 8, "whether it takes pods; tainted: those that tolerate its taints", "is_open",
        lambda row: row.state == "open", _state,
        more={"state": "state", "closed_because": lambda row, _: row.node.closed or None},
    ),
    *resource_columns(
        lambda row: row.room,
        lambda row, frame, field, text: _room_span(row.room, frame, field, text),
        _OF_THE_ROOM, (7, 9, 13),
    ),
    _Node(
        "CLASS", 10, "the class of the node", "class", lambda row: row.node.node_class or None,
        rank=1,
    ),
    _Node(
        "TAINTS", 14, "what keeps pods off that do not tolerate it", "taints",
        lambda row: list(row.node.taints),
        lambda row, frame: Span(", ".join(row.node.taints) or frame.glyphs.none, Tone.DIM),
        widest=80,
    ),
)  # fmt: skip


def node_lines(row: NodeRow, frame: Frame, width: int) -> Iterator[Line]:
    """Whether a node takes pods, its room, its taints, and which pools are on it."""
    node, state, room = row.node, _state(row, frame), row.room
    if node.closed:
        state = state._replace(text=f"{state.text}: {node.closed}")
    of_class = Span(f"class {node.node_class}" if node.node_class else "", Tone.DIM)
    yield from labelled("takes pods", (state, of_class), width)
    parts: list[Span] = []
    for name, field, text in RESOURCES:
        used, holds = (getattr(each, field) for each in room)
        span = _room_span(room, frame, field, text)
        share = f" {figures.percent(used / holds)}" if used is not None and holds else ""
        parts.append(span._replace(text=f"{name} {span.text}{share}"))
    # what pods of other fleets request is not known
    yield from labelled("fleet asks", parts, width)
    yield from labelled_text("taints", ", ".join(node.taints) or "none", width)
    counts = Counter(pod.pool for pod in row.pods)
    pools = tuple(f"{key} {figures.count(count)}" for key, count in counts.most_common())
    yield from labelled("pools", pools or (Span("none of this fleet", Tone.DIM),), width)


def _opens_node(row: NodeRow, frame: Frame) -> Opening:
    """The pods on it."""
    del frame

    def is_on_it(each: PodRow) -> bool:
        return each.pod is not None and each.pod.node == row.key and each.pod.phase not in _GONE

    return Opening("pods", of=row.key, where=is_on_it)


NODES: Final = Table[NodeRow](
    "nodes",
    "nodes",
    _NODE_COLUMNS,
    _nodes,
    key=lambda row: row.key,
    nothing=lambda _: [Span("no nodes are known here", Tone.DIM)],
    text=lambda row: " ".join((row.key, row.node.node_class, row.state, *row.node.taints)),
    details=node_lines,
    opens=_opens_node,
    state=lambda frame: frame.scope_words and f"what {frame.scope_words} takes of them",
)
VIEWS: Final = (
    View("nodes", (CLASSES, UNPLACED, NODES), "room by class", ("no", "node")),
    View("class", (NODES,), listed=False),
)
