"""Logging as JSON lines on standard error. Each line has a constant message and fields."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from controller.model.text import clean

_STANDARD: Final = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}
TRACE_LIMIT: Final = 8000


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


def log_json(level: int = logging.INFO) -> None:
    """Send the records of all loggers to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    _quiet_libraries()
    logging.basicConfig(level=level, handlers=[handler], force=True)


def log_nowhere() -> None:
    """Drop all records, for a process that draws a screen: log lines would overwrite it."""
    _quiet_libraries()
    logging.basicConfig(level=logging.CRITICAL, handlers=[logging.NullHandler()], force=True)


def _quiet_libraries() -> None:
    # they warn of each lost connection, which links and findings report already
    for name in ("nats", "aiohttp", "kubernetes", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
