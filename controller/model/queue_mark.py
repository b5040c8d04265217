"""Where a queue stood in its history, kept beyond the end of the process."""

from __future__ import annotations

from controller.model.ids import QueueName
from controller.model.value import Value


class AckMark(Value):
    """How far deliveries were acknowledged: all up to the delivery and the stream's sequence named
    here. `last_active` is the server's time of the last acknowledgement, empty if it told none.
    """

    consumer_seq: int
    stream_seq: int
    last_active: str = ""


class QueueMark(Value):
    """The last answer about a consumer that was believed, at `at` (Unix seconds).

    `created` is its creation time in the server's words. The counts are in messages, as in
    QueueDepth. `acks` is None where the server told none. `max_deliver`: how often the server
    delivers a message, 0 or less for no limit.
    """

    stream: str
    consumer: str
    created: str
    at: float
    pending: int
    in_flight: int
    redelivered: int = 0
    delivered: int | None = None
    sequence: int | None = None
    acks: AckMark | None = None
    max_deliver: int = -1

    @property
    def queue(self) -> QueueName:
        """The queue that it is about."""
        return QueueName(self.stream, self.consumer)
