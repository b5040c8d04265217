"""Recognises a queue whose history goes back: its consumer was created anew, an older store was
restored, or messages are no longer in flight that nobody has acknowledged. What such a queue says
of less work is not believed at once.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from controller.model.ids import QueueName
from controller.model.observation import QueueDepth
from controller.model.queue_mark import AckMark, QueueMark
from controller.model.readings import Stale, Why
from controller.nats.consumers import AckFloor

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
