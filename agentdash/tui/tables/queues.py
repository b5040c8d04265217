"""The queues: one row for each stream and consumer of a pool, how much waits, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from agentdash.tui import figures
from agentdash.tui.cells import (
    RECENT_CELLS,
    measured_span,
    none_span,
    recent_span,
    series,
    since_column,
    state_column,
)
from agentdash.tui.lines import Line, Span, Tone, labelled, labelled_text
from agentdash.tui.table import Column, Opening, Sort, Table, View, never
from agentdash.tui.tables.pools import nothing_seen
from agentdash.tui.view import Frame, PoolRow, State
from controller.model.decision import Bound, Code, Reason
from controller.model.ids import QueueName
from controller.model.intents import Scope
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Reading, Stale, last_known
from controller.model.snapshot import Finding, QueueRates
from controller.planning import explain

_PAUSES: Final = frozenset({Code.PAUSED, Code.KEPT_WHILE_PAUSED, Code.PAUSE_UNREADABLE})


class QueueState(State, Enum):
    """The state of a queue in one word, the worst first."""

    BLIND = ("blind", "!!", Tone.CRIT, 6)
    POISON = ("poison", "!!", Tone.CRIT, 5, "messages of a queue come back again and again")
    STALE = ("stale", "~", Tone.WARN, 4)
    PAUSED = ("paused", "!", Tone.WARN, 3)
    HELD = ("held", "!", Tone.WARN, 2)
    OK = ("ok", "", Tone.OK, 1)
    EMPTY = ("empty", "", Tone.DIM, 0, "nothing waits in the queue")


class QueueRow(NamedTuple):
    """One of a pool's queues; `number` is its place among them, 0 for the highest priority.
    `reading` is what is known of its messages, `depth` those last known. `since` is when its state
    began (Unix seconds), None where that is not known.
    """

    pool: PoolRow
    number: int
    rates: QueueRates
    reading: Reading[QueueDepth]
    depth: QueueDepth | None
    state: QueueState
    since: float | None = None

    @property
    def key(self) -> str:
        """The pool's key; for its lower queues with their place behind it."""
        return f"{self.pool.key} {self.number + 1}" if self.number else self.pool.key

    @property
    def name(self) -> QueueName:
        """Its stream and consumer."""
        return self.pool.view.queues[self.number]

    @property
    def oldest_at(self) -> float | None:
        """When the oldest waiting message came, None where none waits or that is not known."""
        depth = self.depth
        return None if depth is None or depth.pending == 0 else self.rates.oldest_at


def _rows(frame: Frame) -> Sequence[QueueRow]:
    """One row for each queue."""
    snapshot = frame.snapshot
    if snapshot is None:
        return ()
    rates = {(each.pool, each.number): each for each in snapshot.queues}
    found: list[QueueRow] = []
    for pool in frame.rows:
        seen, key = pool.view.observation, pool.view.key
        for number in range(len(pool.view.queues)):
            moving = rates.get((key, number)) or QueueRates(pool=key, number=number)
            # where there is no reading of each, as before the first, it is that of all
            reading = seen.queues[number] if number < len(seen.queues) else seen.queue
            state = _state(pool, number, reading)
            since = _since(state, pool, moving, reading, snapshot.findings)
            depth = last_known(reading)
            found.append(QueueRow(pool, number, moving, reading, depth, state, since))
    return found


def _state(pool: PoolRow, number: int, reading: Reading[QueueDepth]) -> QueueState:
    """The worst state that applies to one of the pool's queues."""
    queue, decision = last_known(reading), pool.view.decision
    if isinstance(reading, Absent) or queue is None:
        return QueueState.BLIND
    if decision is not None and any(_poisons(each, pool, number) for each in decision.reasons):
        return QueueState.POISON
    if isinstance(reading, Stale):
        return QueueState.STALE
    if queue.paused:
        return QueueState.PAUSED
    if decision is not None and decision.bound is Bound.PAUSE and queue.total:
        return QueueState.HELD
    return QueueState.OK if queue.total else QueueState.EMPTY


def _since(
    state: QueueState,
    pool: PoolRow,
    rates: QueueRates,
    reading: Reading[QueueDepth],
    findings: Sequence[Finding],
) -> float | None:
    """When this state began: of a reading that failed, when that was; of a pause and of messages
    that come back again and again, what the controller remembers of the pool.
    """
    if state in {QueueState.BLIND, QueueState.STALE}:
        return reading.at or None
    if state is QueueState.HELD:
        return None if pool.view.standing is None else pool.view.standing.bound_since
    if state is QueueState.POISON:
        kinds = {Code.POISON.value, f"{Code.POISON.value} {pool.view.queues[rates.number]}"}
        of_pool = (each for each in findings if each.subject == pool.view.key)
        return next((each.since for each in of_pool if each.kind in kinds), None)
    return rates.since


def _poisons(reason: Reason, pool: PoolRow, number: int) -> bool:
    """Whether this reason is about messages of this queue that come back again and again."""
    queue = reason.numbers.get("queue")
    return reason.code is Code.POISON and queue in {None, str(pool.view.queues[number])}


def _is_old(row: QueueRow) -> bool:
    return isinstance(row.reading, Stale)


def _wait(value: float | None, frame: Frame) -> Span:
    interval_s = 1.0 if frame.snapshot is None else frame.snapshot.interval_s
    return measured_span(None if value is None else figures.wait(value, interval_s), frame)


def _oldest(row: QueueRow, frame: Frame) -> Span:
    at = row.oldest_at
    if at is None:
        return none_span(frame)
    age = figures.age(frame.now - at)
    return measured_span(f">{age}" if row.rates.oldest_is_older else age, frame)


def _depth(title: str, width: int, name: str, legend: str, **more: Any) -> Column[QueueRow]:
    """A number of messages or of requests for them."""
    return Column[QueueRow](
        title, width, legend, name, f"depth.{name}", unknown=True, old=_is_old,
        text=lambda number: figures.count(number, width - 1), right=True, descending=True, **more,
    )  # fmt: skip


_Column = Column[QueueRow]
_COLUMNS: Final[Sequence[Column[QueueRow]]] = (
    _Column(
        "POOL", 16, "tenant and name of the pool; 2 behind it: its second queue", "pool",
        "pool.key", lambda row, _: Span(row.key), sort=lambda row: row.key,
        widest=34, letter="N", names=True,
    ),
    state_column(lambda row: row.state),
    since_column("since"),
    _depth("PENDING", 7, "pending", "messages not delivered yet", letter="Q"),
    _depth("FLIGHT", 6, "in_flight", "messages delivered, not yet acknowledged", letter="F"),
    _depth("REDEL", 5, "redelivered", "messages delivered more than once", letter="R"),
    _Column(
        "OLDEST", 7, "how long the oldest message waits; > where it was there at the first look",
        "oldest_at", cell=_oldest,
        more={"oldest_is_older": "rates.oldest_is_older", "is_old": lambda row, _: _is_old(row)},
        right=True, letter="A",
    ),
    _Column(
        "IN/m", 6, "messages that arrive in a minute", "arrivals_per_minute",
        "rates.arrivals_per_minute", text=figures.rate, old=never, right=True, descending=True,
    ),
    _Column(
        "DONE/m", 6, "messages that end in a minute, given up ones too", "completions_per_minute",
        "rates.completions_per_minute", text=figures.rate, old=never, right=True, descending=True,
    ),
    _Column(
        "P50", 6, "half of the messages waited no longer", "waited_p50_s", "rates.waited_p50_s",
        lambda row, frame: _wait(row.rates.waited_p50_s, frame),
        rank=2, right=True, descending=True,
    ),
    _Column(
        "P95", 6, "19 of 20 messages waited no longer", "waited_p95_s", "rates.waited_p95_s",
        lambda row, frame: _wait(row.rates.waited_p95_s, frame),
        rank=1, right=True, letter="W", descending=True,
    ),
    _Column(
        "WAIT, 15 MIN", RECENT_CELLS, "the longest that a message had waited, and the most",
        cell=lambda row, frame: recent_span(
            row.pool.history.recent.wait_s, frame, figures.whole_age
        ),
        more={"wait_s_last_15_min": lambda row, _: series(row.pool.history.recent.wait_s)},
        rank=3, drawn=True,
    ),
    _depth("PULLS", 6, "waiting_pulls", "requests of workers that wait for a message", rank=6),
    _Column(
        "STREAM", 10, "the JetStream stream", "stream", "name.stream", rank=5, widest=20,
    ),
    _Column(
        "CONSUMER", 18, "the durable consumer", "consumer", "name.consumer", rank=4, widest=32,
    ),
)  # fmt: skip


def queue_lines(row: QueueRow, frame: Frame, width: int) -> Iterator[Line]:
    """What is wrong with the queue, where it is, how it moves, how long messages wait."""
    queue, reading, decision = row.depth, row.reading, row.pool.view.decision
    if isinstance(reading, Absent | Stale):
        detail = f": {reading.detail}" if reading.detail else ""
        since = figures.age(frame.now - reading.at)
        text = f"{figures.as_words(reading.why)} for {since}{detail}"
        yield from labelled_text("unknown" if queue is None else "old", text, width, Tone.WARN)
    if queue is not None and queue.paused:
        text = "the consumer is paused in NATS: it delivers nothing until it is resumed there"
        yield from labelled_text("paused", text, width, Tone.WARN)
    for reason in () if decision is None or queue is None else decision.reasons:
        text = explain.sentence(reason, frame.at)
        if _poisons(reason, row.pool, row.number):
            yield from labelled_text("poison", text, width, Tone.CRIT)
        elif reason.code in _PAUSES and decision is not None and decision.bound is Bound.PAUSE:
            pending = 0 if queue is None else queue.pending
            kept = f"{figures.count(pending)} messages stay in the queue: "
            yield from labelled_text("held", kept + text, width, Tone.WARN)
    count = len(row.pool.view.queues)
    pulls = "" if queue is None else f"{figures.count(queue.waiting_pulls)} pulls wait for work"
    order = {0: ", pulled first", count - 1: ", pulled last"}.get(row.number, "")
    place = f"queue {row.number + 1} of {count}{order}" if count > 1 else ""
    name = f"{row.name.stream} > {row.name.consumer}"
    yield from labelled("queue", (name, place, Span(pulls, Tone.DIM)), width)
    yield from labelled("moving", _moving(row, frame), width)
    yield from labelled("waits", _waits(row, frame), width)


def _moving(row: QueueRow, frame: Frame) -> Iterator[Span]:
    arrivals, done = row.rates.arrivals_per_minute, row.rates.completions_per_minute
    if arrivals is None or done is None:
        yield Span("not known before ten seconds of good readings", Tone.DIM)
        return
    old = frame.glyphs.stale if frame.stale else ""
    yield Span(f"{figures.rate(arrivals)}{old} a minute arrive")
    yield Span(f"{figures.rate(done)}{old} a minute are done")
    queue = row.depth
    if queue is not None and queue.total and done > arrivals and not old:
        left_s = 60 * queue.total / (done - arrivals)
        yield Span(f"at this pace empty in {figures.age(left_s)}", Tone.DIM)


def _waits(row: QueueRow, frame: Frame) -> Iterator[Span]:
    if row.rates.waited_p50_s is None:
        yield Span("not known for the last 5 minutes", Tone.DIM)
    else:
        yield Span(f"half within {_wait(row.rates.waited_p50_s, frame).text}")
        yield Span(f"95% within {_wait(row.rates.waited_p95_s, frame).text}")
        yield Span("in 5 minutes", Tone.DIM)
    if row.oldest_at is not None:
        age = _oldest(row, frame).text.replace(">", "more than ")
        yield Span(f"oldest {age}")


QUEUES: Final = Table[QueueRow](
    "queues",
    "queues",
    _COLUMNS,
    _rows,
    key=lambda row: row.key,
    nothing=nothing_seen,
    text=lambda row: f"{row.key} {row.state.word} {row.name.stream} {row.name.consumer}",
    sort=Sort("PENDING", descending=True),
    details=queue_lines,
    opens=lambda row, _: Opening("why", row.pool.key),
    about=lambda row: Scope(pool=row.pool.key),
)
VIEWS: Final = (View("queues", (QUEUES,), "work that waits", ("qu", "queue")),)
