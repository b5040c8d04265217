"""The queues: one row for each stream and consumer of a pool, its columns and its details."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from agentdash.tui import amounts, figures, words
from agentdash.tui.columns import Column, Sort, SortValue
from agentdash.tui.labels import labelled, labelled_text
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.tables import RECENT_CELLS, number_span, recent_span, since_span
from agentdash.tui.view import Frame, PoolRow
from controller.model.decision import Bound, Code, Reason
from controller.model.ids import QueueName
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Reading, Stale, last_known
from controller.model.snapshot import Finding, QueueRates

_PAUSES: Final = frozenset({Code.PAUSED, Code.KEPT_WHILE_PAUSED, Code.PAUSE_UNREADABLE})


class QueueState(Enum):
    """The state of a queue in one word, the worst first. The other fields are as in PoolState."""

    BLIND = ("blind", "!!", Tone.CRIT, 6)
    POISON = ("poison", "!!", Tone.CRIT, 5)
    STALE = ("stale", "~", Tone.WARN, 4)
    PAUSED = ("paused", "!", Tone.WARN, 3)
    HELD = ("held", "!", Tone.WARN, 2)
    OK = ("ok", "", Tone.OK, 1)
    EMPTY = ("empty", "", Tone.DIM, 0)

    def __init__(self, word: str, mark: str, tone: Tone, rank: int) -> None:
        self.word = word
        self.mark = mark
        self.tone = tone
        self.rank = rank


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One of a pool's queues; `number` is its place among them, 0 for the highest priority.
    `since` is when its state began (Unix seconds), None where that is not known.
    """

    pool: PoolRow
    number: int
    rates: QueueRates
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
    def reading(self) -> Reading[QueueDepth]:
        """What is known of its messages."""
        return reading_of_queue(self.pool, self.number)

    @property
    def depth(self) -> QueueDepth | None:
        """Its messages as last known."""
        return last_known(self.reading)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest waiting message came, None where none waits or that is not known."""
        depth = self.depth
        return None if depth is None or depth.pending == 0 else self.rates.oldest_at


def queue_rows(frame: Frame, shown: Sequence[QueueRow]) -> Sequence[QueueRow]:
    """One row for each queue. Rows of `shown` are used again, and `shown` itself if none of them
    changed.
    """
    snapshot = frame.snapshot
    if snapshot is None:
        return ()
    rates = {(each.pool, each.number): each for each in snapshot.queues}
    before = {row.key: row for row in shown}
    found: list[QueueRow] = []
    for pool in frame.rows:
        for number in range(1 + len(pool.view.lower_queues)):
            moving = rates.get((pool.view.key, number))
            moving = moving or QueueRates(pool=pool.view.key, number=number)
            state = state_of_queue(pool, number)
            since = _since(state, pool, moving, frame)
            row = QueueRow(pool, number, moving, state, since)
            known = before.get(row.key)
            is_same = known is not None and known.pool is pool and known.rates is moving
            is_same = is_same and known is not None and known.since == since
            found.append(known if known is not None and is_same else row)
    unchanged = len(found) == len(shown) and all(
        one is other for one, other in zip(found, shown, strict=True)
    )
    return shown if unchanged else found


def reading_of_queue(pool: PoolRow, number: int) -> Reading[QueueDepth]:
    """The reading of one of the pool's queues. Where there is none of each, as before the first
    reading, it is that of all.
    """
    seen = pool.view.observation
    return seen.queues[number] if number < len(seen.queues) else seen.queue


def state_of_queue(pool: PoolRow, number: int = 0) -> QueueState:
    """The worst state that applies to one of the pool's queues."""
    reading, decision = reading_of_queue(pool, number), pool.view.decision
    queue = last_known(reading)
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


def _since(state: QueueState, pool: PoolRow, rates: QueueRates, frame: Frame) -> float | None:
    """When this state began: of a reading that failed, when that was; of a pause and of messages
    that come back again and again, what the controller remembers of the pool.
    """
    if state in {QueueState.BLIND, QueueState.STALE}:
        return reading_of_queue(pool, rates.number).at or None
    if state is QueueState.HELD:
        return None if pool.view.standing is None else pool.view.standing.bound_since
    if state is QueueState.POISON:
        findings = () if frame.snapshot is None else frame.snapshot.findings
        times = (each.since for each in findings if _is_poison(each, pool, rates.number))
        return next(times, None)
    return rates.since


def _poisons(reason: Reason, pool: PoolRow, number: int) -> bool:
    """Whether this reason is about messages of this queue that come back again and again."""
    queue = reason.numbers.get("queue")
    return reason.code is Code.POISON and queue in {None, str(pool.view.queues[number])}


def _is_poison(finding: Finding, pool: PoolRow, number: int) -> bool:
    kinds = {Code.POISON.value, f"{Code.POISON.value} {pool.view.queues[number]}"}
    return finding.subject == pool.view.key and finding.kind in kinds


def _state(row: QueueRow, frame: Frame) -> Span:
    del frame
    return Span(f"{row.state.mark:<2} {row.state.word}", row.state.tone)


def _depth(row: QueueRow, name: str, frame: Frame, width: int) -> Span:
    queue = row.depth
    value = None if queue is None else getattr(queue, name)
    return number_span(value, frame, old=isinstance(row.reading, Stale), width=width - 1)


def _value(row: QueueRow, name: str) -> SortValue | None:
    queue = row.depth
    return None if queue is None else (getattr(queue, name),)


def _depth_column(
    title: str, name: str, width: int, *, letter: str = "", rank: int = 0
) -> Column[QueueRow]:
    return Column[QueueRow](
        title,
        width,
        lambda row, frame: _depth(row, name, frame, width),
        lambda row: _value(row, name),
        right=True,
        letter=letter,
        rank=rank,
        descending=True,
    )


def _known(value: float | None) -> SortValue | None:
    return None if value is None else (value,)


def measured_span(text: str | None, frame: Frame, *, zero: bool = False) -> Span:
    """A measured value, `-` where it is not known, with `~` while no news comes."""
    if text is None:
        return Span(frame.glyphs.none, Tone.DIM)
    if frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, Tone.DIM if zero else Tone.PLAIN)


def _rate(value: float | None, frame: Frame) -> Span:
    text = None if value is None else amounts.rate(value)
    return measured_span(text, frame, zero=value == 0)


def _wait(value: float | None, frame: Frame) -> Span:
    interval_s = 1.0 if frame.snapshot is None else frame.snapshot.interval_s
    return measured_span(None if value is None else amounts.wait(value, interval_s), frame)


def _oldest(row: QueueRow, frame: Frame) -> Span:
    at = row.oldest_at
    if at is None:
        return Span(frame.glyphs.none, Tone.DIM)
    age = figures.age(frame.now - at)
    return measured_span(f">{age}" if row.rates.oldest_is_older else age, frame)


QUEUE_COLUMNS: Final = (
    Column[QueueRow](
        "POOL",
        16,
        lambda row, _: Span(row.pool.key),
        lambda row: (row.key,),
        widest=34,
        letter="N",
        names=True,
    ),
    Column[QueueRow](
        "STATE", 9, _state, lambda row: (float(row.state.rank),), letter="S", descending=True
    ),
    Column[QueueRow](
        "SINCE",
        6,
        lambda row, frame: since_span(row.since, frame),
        lambda row: _known(row.since),
        descending=True,
    ),
    _depth_column("PENDING", "pending", 7, letter="Q"),
    _depth_column("FLIGHT", "in_flight", 6, letter="F"),
    _depth_column("REDEL", "redelivered", 5, letter="R"),
    Column[QueueRow](
        "OLDEST", 7, _oldest, lambda row: _known(row.oldest_at), right=True, letter="A"
    ),
    Column[QueueRow](
        "IN/m",
        6,
        lambda row, frame: _rate(row.rates.arrivals_per_minute, frame),
        lambda row: _known(row.rates.arrivals_per_minute),
        right=True,
        descending=True,
    ),
    Column[QueueRow](
        "DONE/m",
        6,
        lambda row, frame: _rate(row.rates.completions_per_minute, frame),
        lambda row: _known(row.rates.completions_per_minute),
        right=True,
        descending=True,
    ),
    Column[QueueRow](
        "P50",
        6,
        lambda row, frame: _wait(row.rates.waited_p50_s, frame),
        lambda row: _known(row.rates.waited_p50_s),
        rank=2,
        right=True,
        descending=True,
    ),
    Column[QueueRow](
        "P95",
        6,
        lambda row, frame: _wait(row.rates.waited_p95_s, frame),
        lambda row: _known(row.rates.waited_p95_s),
        rank=1,
        right=True,
        letter="W",
        descending=True,
    ),
    Column[QueueRow](
        "WAIT, 15 MIN",
        RECENT_CELLS,
        lambda row, frame: recent_span(row.pool.history.recent.wait_s, frame),
        rank=3,
    ),
    _depth_column("PULLS", "waiting_pulls", 6, rank=6),
    Column[QueueRow](
        "STREAM",
        10,
        lambda row, _: Span(row.name.stream),
        lambda row: (row.name.stream,),
        rank=5,
        widest=20,
    ),
    Column[QueueRow](
        "CONSUMER",
        18,
        lambda row, _: Span(row.name.consumer),
        lambda row: (row.name.consumer,),
        rank=4,
        widest=32,
    ),
)
BY_PENDING: Final = Sort("PENDING", descending=True)


def queue_lines(row: QueueRow, frame: Frame, width: int) -> list[Line]:
    """Where the queue is, how it moves, how long messages wait, and what holds them."""
    queue, place = row.depth, f"{row.name.stream} > {row.name.consumer}"
    pulls = "" if queue is None else f"{figures.count(queue.waiting_pulls)} pulls wait for work"
    return [
        *_trouble(row, frame, width),
        *labelled("queue", (place, *_rank_parts(row), Span(pulls, Tone.DIM)), width),
        *labelled("moving", _moving(row, frame), width),
        *labelled("waits", _waits(row, frame), width),
    ]


def _rank_parts(row: QueueRow) -> list[Span]:
    """Which of the pool's several queues it is."""
    count = len(row.pool.view.queues)
    if count == 1:
        return []
    rank = {0: ", pulled first", count - 1: ", pulled last"}.get(row.number, "")
    return [Span(f"queue {row.number + 1} of {count}{rank}")]


def _trouble(row: QueueRow, frame: Frame, width: int) -> list[Line]:
    """What is wrong with the queue, or holds its messages."""
    queue, reading, decision = row.depth, row.reading, None
    lines: list[Line] = []
    if isinstance(reading, Absent | Stale):
        detail = f": {reading.detail}" if reading.detail else ""
        since = figures.age(frame.now - reading.at)
        text = f"{words.as_words(reading.why)} for {since}{detail}"
        lines += labelled_text("unknown" if queue is None else "old", text, width, Tone.WARN)
    if queue is None:
        return lines
    if queue.paused:
        text = "the consumer is paused in NATS: it delivers nothing until it is resumed there"
        lines += labelled_text("paused", text, width, Tone.WARN)
    decision = row.pool.view.decision
    for reason in () if decision is None else decision.reasons:
        if _poisons(reason, row.pool, row.number):
            text = words.reason_sentence(reason, frame.at)
            lines += labelled_text("poison", text, width, Tone.CRIT)
        elif reason.code in _PAUSES and decision is not None and decision.bound is Bound.PAUSE:
            kept = f"{figures.count(queue.pending)} messages stay in the queue: "
            text = kept + words.reason_sentence(reason, frame.at)
            lines += labelled_text("held", text, width, Tone.WARN)
    return lines


def _moving(row: QueueRow, frame: Frame) -> list[Span]:
    arrivals, done = row.rates.arrivals_per_minute, row.rates.completions_per_minute
    if arrivals is None or done is None:
        return [Span("not known before ten seconds of good readings", Tone.DIM)]
    old = frame.glyphs.stale if frame.stale else ""
    parts = [
        Span(f"{amounts.rate(arrivals)}{old} a minute arrive"),
        Span(f"{amounts.rate(done)}{old} a minute are done"),
    ]
    queue = row.depth
    if queue is not None and queue.total and done > arrivals and not old:
        left_s = 60 * queue.total / (done - arrivals)
        parts.append(Span(f"at this pace empty in {figures.age(left_s)}", Tone.DIM))
    return parts


def _waits(row: QueueRow, frame: Frame) -> list[Span]:
    parts = [Span("not known for the last 5 minutes", Tone.DIM)]
    if row.rates.waited_p50_s is not None:
        p50, p95 = _wait(row.rates.waited_p50_s, frame), _wait(row.rates.waited_p95_s, frame)
        parts = [Span(f"half within {p50.text}"), Span(f"95% within {p95.text}")]
        parts.append(Span("in 5 minutes", Tone.DIM))
    if row.oldest_at is not None:
        age = _oldest(row, frame).text.replace(">", "more than ")
        parts.append(Span(f"oldest {age}"))
    return parts
