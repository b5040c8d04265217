"""Logging as JSON lines on standard error: a constant message and fields. The same failure is one
line a minute.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Final

from controller.model.text import clean

_STANDARD: Final = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "is_change",
}
LIBRARIES: Final = ("nats", "aiohttp", "kubernetes", "urllib3")
"""They log each lost connection."""
CHANGE: Final = "is_change"
"""The field of a record of a state that has changed: it repeats no earlier one."""
TRACE_LIMIT: Final = 8000
REPEAT_S: Final = 60.0
KNOWN_FAILURES: Final = 4096
"""The failures of this many pools and sources are told apart."""
_SUBJECTS: Final = ("pool", "kind", "outcome", "source", "place", "key")
"""The fields that tell failures with the same message apart."""
_VARYING: Final = re.compile(r"0x[0-9a-f]+|[0-9a-f-]{16,}|[0-9]+", re.IGNORECASE)
"""Numbers, addresses and identifiers in the messages of libraries."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, and the `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its line break."""
        moment = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update(
            (name, value) for name, value in record.__dict__.items() if name not in _STANDARD
        )
        if record.exc_info:
            fields["trace"] = clean(self.formatException(record.exc_info), TRACE_LIMIT)
        return json.dumps(fields, default=str, ensure_ascii=False)


class OncePerMinute(logging.Filter):
    """Lets each warning and error through once a minute.

    The next one says how many were left out since then (`repeats`). Other records pass, because
    each of them says something new, and so does a change of state (`is_change`): the last line
    about a connection says how it is.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        # when each failure was written last, and how many lines were left out since
        self._known: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written. It may get the field `repeats`."""
        if record.levelno < logging.WARNING or hasattr(record, CHANGE):
            return True
        now, failure = self._monotonic(), _failure_of(record)
        at, left_out = self._known.get(failure, (-math.inf, 0))
        if now - at < REPEAT_S:
            self._known[failure] = at, left_out + 1
            return False
        if left_out:
            record.repeats = left_out
        self._known[failure] = now, 0
        self._known.move_to_end(failure)
        if len(self._known) > KNOWN_FAILURES:
            self._known.popitem(last=False)
        return True


def _failure_of(record: logging.LogRecord) -> Hashable:
    """What the record is about: two of the same failure are equal, also with other details."""
    error = record.exc_info[0] if record.exc_info else None
    first_line = str(record.msg).partition("\n")[0]
    return (
        record.name,
        record.levelno,
        _VARYING.sub("#", first_line),
        None if error is None else error.__name__,
        *(str(record.__dict__.get(name, "")) for name in _SUBJECTS),
    )


def log_json() -> None:
    """Send the records of all loggers to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(OncePerMinute())
    _quiet_libraries()
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def log_nowhere() -> None:
    """Drop all records, for a process that draws a screen: log lines would overwrite it."""
    _quiet_libraries()
    logging.basicConfig(level=logging.CRITICAL, handlers=[logging.NullHandler()], force=True)


def _quiet_libraries() -> None:
    # they warn of each lost connection, which links and findings report already
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("httpx", "httpx2"):  # they log each request of an agent
        logging.getLogger(name).setLevel(logging.WARNING)
