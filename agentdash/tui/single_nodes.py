"""Each node for itself: its room, its taints, and the pods of the fleet that are on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agentdash.tui import amounts, figures
from agentdash.tui.columns import Column
from agentdash.tui.labels import labelled, labelled_text
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.nodes import ALL_NODES, is_room_old, room_span
from agentdash.tui.pods import POD_ROW_COLUMNS, PodRow, work_span
from agentdash.tui.view import Frame, PoolRow
from controller.model.observation import PodPhase
from controller.model.readings import Stale
from controller.model.scarcity import Resources
from controller.model.snapshot import ClusterNode

_GONE: Final = frozenset({PodPhase.FAILED, PodPhase.UNSCHEDULED})


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node with the pods of the fleet on it, and what those request; None for a resource of
    which one does not say its request.
    """

    node: ClusterNode
    pods: tuple[PodRow, ...]
    used: Resources

    @property
    def key(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def filter_text(self) -> str:
        """The text that a filter searches."""
        node = self.node
        return " ".join((node.name, node.node_class, _state(node), *node.taints))


class NodeRows:
    """The rows of all nodes; the same object until a node or a pool changes."""

    def __init__(self) -> None:
        self._of: tuple[object, object] = (None, None)
        self._rows: tuple[NodeRow, ...] = ()

    def rows(self, frame: Frame) -> tuple[NodeRow, ...]:
        """One row for each node of the snapshot, sorted by name."""
        nodes = () if frame.snapshot is None else frame.snapshot.nodes
        if nodes is not self._of[0] or frame.rows is not self._of[1]:
            self._of = nodes, frame.rows
            self._rows = tuple(_rows(nodes, frame.rows))
        return self._rows


def _rows(nodes: Sequence[ClusterNode], pools: Iterable[PoolRow]) -> Iterator[NodeRow]:
    placed: dict[str, list[PodRow]] = {node.name: [] for node in nodes}
    for pool in pools:
        is_old = isinstance(pool.view.observation.pods, Stale)
        for pod in () if pool.pods is None else pool.pods.items:
            if pod.node in placed and pod.phase not in _GONE:
                placed[pod.node].append(PodRow(pool, pod, is_old))
    for node in nodes:
        pods = tuple(placed[node.name])
        yield NodeRow(node, pods, _sum(requests_of_replica(pod.pool) for pod in pods))


def _sum(requests: Iterable[Resources]) -> Resources:
    each = tuple(requests)
    cpu = [one.cpu_milli for one in each]
    memory = [one.memory_bytes for one in each]
    return Resources(
        replicas=len(each),
        cpu_milli=None if None in cpu else sum(filter(None, cpu)),
        memory_bytes=None if None in memory else sum(filter(None, memory)),
    )


def requests_of_replica(row: PoolRow) -> Resources:
    """What one replica requests: by the fleet file, else by the Deployment's pod template."""
    if row.view.requests is not None:
        return row.view.requests
    return Resources() if row.workload is None else row.workload.requests


def is_of_class(node: ClusterNode, name: str) -> bool:
    """Whether a node belongs to the class of this name, as the table of classes names it."""
    return name in {ALL_NODES, node.node_class}


def _state(node: ClusterNode) -> str:
    return "closed" if node.closed else "open"


def _state_span(row: NodeRow, frame: Frame) -> Span:
    text = _state(row.node)
    if is_room_old(frame):
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, Tone.WARN if row.node.closed else Tone.OK)


def _taints(row: NodeRow, frame: Frame) -> Span:
    return Span(", ".join(row.node.taints) or frame.glyphs.none, Tone.DIM)


def _pods(row: NodeRow, frame: Frame) -> Span:
    return room_span(len(row.pods), row.node.holds.replicas, figures.count, frame)


def _cpu(row: NodeRow, frame: Frame) -> Span:
    return room_span(row.used.cpu_milli, row.node.holds.cpu_milli, amounts.cores, frame)


def _memory(row: NodeRow, frame: Frame) -> Span:
    return room_span(row.used.memory_bytes, row.node.holds.memory_bytes, amounts.memory, frame)


NODE_COLUMNS: Final = (
    Column[NodeRow]("NODE", 18, lambda row, _: Span(row.key), widest=40, names=True),
    Column[NodeRow]("STATE", 7, _state_span),
    Column[NodeRow]("PODS", 7, _pods, right=True),
    Column[NodeRow]("CPU", 9, _cpu, right=True),
    Column[NodeRow]("MEMORY", 13, _memory, right=True),
    Column[NodeRow](
        "CLASS", 10, lambda row, frame: Span(row.node.node_class or frame.glyphs.none), rank=1
    ),
    Column[NodeRow]("TAINTS", 14, _taints, widest=80),
)


def node_lines(row: NodeRow, frame: Frame, width: int) -> list[Line]:
    """Whether a node takes pods, its room, its taints, and which pools are on it."""
    node, lines = row.node, list[Line]()
    state = _state_span(row, frame)
    if node.closed:
        state = state._replace(text=f"{state.text}: {node.closed}")
    of_class = Span(f"class {node.node_class}" if node.node_class else "", Tone.DIM)
    lines += labelled("takes pods", (state, of_class), width)
    parts: list[Span | str] = []
    for name, used, holds, text in (
        ("pods", len(row.pods), node.holds.replicas, figures.count),
        ("cpu", row.used.cpu_milli, node.holds.cpu_milli, amounts.cores),
        ("memory", row.used.memory_bytes, node.holds.memory_bytes, amounts.memory),
    ):
        span = room_span(used, holds, text, frame)
        share = f" {amounts.percent(used / holds)}" if used is not None and holds else ""
        parts.append(span._replace(text=f"{name} {span.text}{share}"))
    # what pods of other fleets request is not known
    lines += labelled("fleet asks", parts, width)
    lines += labelled_text("taints", ", ".join(node.taints) or "none", width)
    counts = Counter(pod.pool.key for pod in row.pods)
    pools = (f"{key} {figures.count(count)}" for key, count in counts.most_common())
    lines += labelled("pools", tuple(pools) or (Span("none of this fleet", Tone.DIM),), width)
    return lines


def _request(amount: str | None, frame: Frame) -> Span:
    return Span(frame.glyphs.unknown, Tone.WARN) if amount is None else Span(amount)


def _pod_cpu(row: PodRow, frame: Frame) -> Span:
    amount = requests_of_replica(row.pool).cpu_milli
    return _request(None if amount is None else amounts.cores(amount), frame)


def _pod_memory(row: PodRow, frame: Frame) -> Span:
    amount = requests_of_replica(row.pool).memory_bytes
    return _request(None if amount is None else amounts.memory(amount), frame)


_OF_POD: Final = {column.title: column for column in POD_ROW_COLUMNS}
NODE_POD_COLUMNS: Final = (
    *(_OF_POD[title] for title in ("POD", "POOL", "PHASE")),
    Column[PodRow]("WORK", 9, work_span),
    Column[PodRow]("CPU", 5, _pod_cpu, right=True),
    Column[PodRow]("MEMORY", 6, _pod_memory, right=True),
    *(_OF_POD[title] for title in ("SINCE", "AGE", "RST")),
)
