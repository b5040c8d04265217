"""Consumers as the server describes them, sums of several queues, and histories that went back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from controller.model.fleet import Pool
from controller.model.ids import PoolKey, QueueName
from controller.model.memory import AckMark, QueueMark
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.text import clean
from controller.nats.jetstream import JetStreamAnswer, Requests, UnreadableAnswerError, ask


# gc=False: none of these can be in a reference cycle, and every tick decodes thousands of them
class ConsumerConfiguration(msgspec.Struct, gc=False):
    """The subjects a consumer takes: one filter, several, or with neither the whole stream; and how
    often it delivers a message at most, 0 or less for no limit.
    """

    filter_subject: str = ""
    filter_subjects: list[str] | None = None
    max_deliver: int = -1

    def subjects(self) -> tuple[str, ...]:
        """All filters; empty for the whole stream."""
        if self.filter_subjects:
            return tuple(self.filter_subjects)
        return (self.filter_subject,) if self.filter_subject else ()


class LastDelivery(msgspec.Struct, gc=False):
    """The last delivery: its number among the consumer's, and its message's in the stream."""

    consumer_seq: int
    stream_seq: int


class AckFloor(msgspec.Struct, frozen=True, gc=False):
    """The deliveries up to `consumer_seq`, of messages up to `stream_seq`, are acknowledged.
    `last_active` is the time of the last acknowledgement of any message, empty before the first
    since the consumer has its leader (nats-server, consumer.go updateAcks).
    """

    consumer_seq: int
    stream_seq: int
    last_active: str = ""


class ConsumerState(JetStreamAnswer, kw_only=True, gc=False):
    """One consumer. A missing number makes the answer unreadable; it is not a zero."""

    stream_name: str
    name: str
    num_pending: int
    num_ack_pending: int
    num_redelivered: int
    num_waiting: int
    paused: bool = False
    created: str = ""
    delivered: LastDelivery | None = None
    ack_floor: AckFloor | None = None
    config: ConsumerConfiguration = msgspec.field(default_factory=ConsumerConfiguration)


class ConsumerPage(JetStreamAnswer, kw_only=True):
    """One page of CONSUMER.LIST. In a cluster `missing` and `offline` name consumers that belong to
    the page and whose leaders did not answer.
    """

    total: int
    consumers: list[ConsumerState]
    offset: int = 0
    missing: list[str] | None = None
    offline: dict[str, str] | None = None

    @property
    def silent(self) -> frozenset[str]:
        """Consumers that exist and did not answer."""
        return frozenset(self.missing or ()) | frozenset(self.offline or ())


_PAGE: Final = msgspec.json.Decoder(ConsumerPage)
_CONSUMER: Final = msgspec.json.Decoder(ConsumerState)


async def consumer_page(nats: Requests, stream: str, offset: int, timeout_s: float) -> ConsumerPage:
    """The page of the stream's consumers that begins at `offset`. Raises NatsError."""
    payload = b'{"offset":%d}' % offset
    page = await ask(nats, f"CONSUMER.LIST.{stream}", payload, _PAGE, timeout_s)
    if page.offset != offset:
        raise UnreadableAnswerError(f"the page from {page.offset} instead of {offset}")
    for consumer in page.consumers:
        if consumer.stream_name != stream:
            raise UnreadableAnswerError(f"an answer about {clean(consumer.stream_name)}")
    return page


async def consumer_state(
    nats: Requests, stream: str, consumer: str, timeout_s: float
) -> ConsumerState:
    """One consumer, from its leader. Raises NatsError."""
    state = await ask(nats, f"CONSUMER.INFO.{stream}.{consumer}", b"", _CONSUMER, timeout_s)
    if (state.stream_name, state.name) != (stream, consumer):
        raise UnreadableAnswerError(f"an answer about {clean(state.name)}")
    return state


LEAST_HOLD_S: Final = 60.0


class GoodAnswer(NamedTuple):
    """One good answer about a consumer: when it was created, and its depth at `at` (Unix s).
    `acks` is None where the server does not tell. `max_deliver`: how often it delivers a message,
    0 or less for no limit.
    """

    created: str
    depth: QueueDepth
    at: float
    acks: AckFloor | None = None
    max_deliver: int = -1


def mark_of(queue: QueueName, answer: GoodAnswer) -> QueueMark:
    """The answer as it is kept for the next process."""
    depth, acks = answer.depth, answer.acks
    return QueueMark(
        stream=queue.stream,
        consumer=queue.consumer,
        created=answer.created,
        at=answer.at,
        pending=depth.pending,
        in_flight=depth.in_flight,
        redelivered=depth.redelivered,
        delivered=depth.delivered,
        sequence=depth.sequence,
        acks=None if acks is None else AckMark(**msgspec.structs.asdict(acks)),
        max_deliver=answer.max_deliver,
    )


def answer_of(mark: QueueMark) -> GoodAnswer:
    """The answer that an earlier process has kept."""
    depth = QueueDepth(
        pending=mark.pending,
        in_flight=mark.in_flight,
        redelivered=mark.redelivered,
        delivered=mark.delivered,
        sequence=mark.sequence,
    )
    acks = None if mark.acks is None else AckFloor(**msgspec.structs.asdict(mark.acks))
    return GoodAnswer(mark.created, depth, mark.at, acks, mark.max_deliver)


class HistoryHold(NamedTuple):
    """The last answer before the history went back, what happened, and until when (monotonic
    seconds) less work than in that answer is not believed.
    """

    before: GoodAnswer
    detail: str
    until: float

    @property
    def reading(self) -> Stale[QueueDepth]:
        """The reading while it is held: the last one before."""
        return Stale(
            value=self.before.depth,
            at=self.before.at,
            why=Why.HISTORY_REGRESSED,
            detail=self.detail,
        )


def held(
    known: GoodAnswer, hold: HistoryHold | None, found: GoodAnswer, *, window_s: float, now: float
) -> HistoryHold | None:
    """The hold after another answer. It ends when the queue is as long as before, or after the
    pool's window for scaling down (`window_s`) without a further step back.
    """
    before = known if hold is None else hold.before
    if found.depth.total >= before.depth.total:
        return None
    step = _step_back(known, found)
    if step is None:
        return None if hold is None or now >= hold.until else hold
    wait_s = max(window_s, LEAST_HOLD_S)
    detail = (
        f"{step}, and {found.depth.total} messages follow {before.depth.total}; that is believed "
        f"once it has lasted {wait_s:.0f} s"
    )
    return HistoryHold(before, detail, now + wait_s)


def _step_back(known: GoodAnswer, found: GoodAnswer) -> str | None:
    """What went back between two answers; None if nothing did."""
    if found.created != known.created:
        return "the consumer was created anew"
    for name, before, after in (
        ("deliveries", known.depth.delivered, found.depth.delivered),
        ("the stream's sequence", known.depth.sequence, found.depth.sequence),
    ):
        if before is not None and after is not None and after < before:
            return f"{name} went back from {before} to {after}"
    if known.acks is None or found.acks is None:
        return None
    before, after = known.acks.consumer_seq, found.acks.consumer_seq
    if after < before:
        return f"acknowledgements went back from {before} to {after}"
    lost = known.depth.in_flight - found.depth.in_flight
    if lost > _given_up(known) and not _is_acknowledged(known.acks, found.acks):
        return f"{lost} messages are no longer in flight without an acknowledgement"
    return None


def _given_up(known: GoodAnswer) -> int:
    """How many of the messages in flight the server may drop next, as delivered often enough."""
    if known.max_deliver <= 0:
        return 0
    return known.depth.in_flight if known.max_deliver == 1 else known.depth.redelivered


def _is_acknowledged(known: AckFloor, found: AckFloor) -> bool:
    """Whether a message was acknowledged, or removed from the stream by a purge, in between. The
    floor alone does not tell: it waits for the oldest message in flight.
    """
    if found.stream_seq != known.stream_seq or found.consumer_seq != known.consumer_seq:
        return True
    return bool(found.last_active) and found.last_active != known.last_active


class QueueSums:
    """Adds up the readings of each pool's queues. While no queue's numbers change, the sum is the
    same QueueDepth object.
    """

    def __init__(self) -> None:
        self._each: dict[PoolKey, tuple[Reading[QueueDepth], ...]] = {}
        self._known: dict[PoolKey, tuple[list[QueueDepth], QueueDepth]] = {}

    def each(self, pool: PoolKey) -> tuple[Reading[QueueDepth], ...]:
        """The readings that were added up last; empty if there were none."""
        return self._each.get(pool, ())

    def of(
        self, pool: Pool, readings: Sequence[Reading[QueueDepth] | None]
    ) -> Reading[QueueDepth] | None:
        """The sum of these readings of the pool's queues, as good as the worst of them; None if one
        of them is missing.
        """
        parts = tuple(each for each in readings if each is not None)
        if len(parts) < len(readings):
            return None
        self._each[pool.key] = parts
        depths: list[QueueDepth] = []
        worst: Stale[QueueDepth] | None = None
        for name, part in zip(pool.queues, parts, strict=True):
            if isinstance(part, Absent):
                return replace(part, detail=_of(name, part.detail))
            depths.append(part.value)
            if isinstance(part, Stale) and worst is None:
                worst = replace(part, detail=_of(name, part.detail))
        total, at = self._total(pool.key, depths), min(part.at for part in parts)
        return Fresh(value=total, at=at) if worst is None else replace(worst, value=total, at=at)

    def _total(self, pool: PoolKey, depths: list[QueueDepth]) -> QueueDepth:
        known = self._known.get(pool)
        if known is not None and all(map(_is, known[0], depths)):
            return known[1]
        total = summed(depths)
        self._known[pool] = depths, total
        return total


def summed(depths: Sequence[QueueDepth]) -> QueueDepth:
    """The messages of several consumers together. The counters of deliveries are known only if all
    of them are; only if all are paused, nothing is delivered.
    """
    delivered = [depth.delivered for depth in depths if depth.delivered is not None]
    sequences = [depth.sequence for depth in depths if depth.sequence is not None]
    return QueueDepth(
        pending=sum(depth.pending for depth in depths),
        in_flight=sum(depth.in_flight for depth in depths),
        # a consumer may count more of them than it has in flight: those are none of the other's
        redelivered=sum(min(depth.redelivered, depth.in_flight) for depth in depths),
        waiting_pulls=sum(depth.waiting_pulls for depth in depths),
        paused=all(depth.paused for depth in depths),
        delivered=sum(delivered) if len(delivered) == len(depths) else None,
        sequence=sum(sequences) if len(sequences) == len(depths) else None,
    )


def _of(name: QueueName, detail: str) -> str:
    return f"{name}: {detail}" if detail else str(name)


def _is(one: object, other: object) -> bool:
    return one is other
