"""The same failure is one line a minute, whoever logs it, and the next line has the count."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from controller.logs import KNOWN_FAILURES, REPEAT_S, JsonFormatter, OncePerMinute


class Log:
    """Loggers that write into a list, at a time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[dict[str, Any]] = []
        self._handler = logging.Handler()
        self._handler.setFormatter(JsonFormatter())
        self._handler.emit = self._write  # type: ignore[method-assign]
        self._handler.addFilter(OncePerMinute(lambda: self.now))

    def _write(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self._handler.format(record)))

    def of(self, name: str) -> logging.Logger:
        logger = logging.getLogger(f"once.{name}")
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        logger.handlers = [self._handler]
        return logger


@pytest.fixture
def log() -> Log:
    return Log()


def test_the_same_failure_is_one_line_a_minute_and_the_next_line_counts(log: Log) -> None:
    pool = log.of("controller.engine.actuate")
    for number in range(10_000):
        log.now = number * 0.01
        extra = {"pool": "acme/research", "detail": f"request {number} failed"}
        pool.warning("not scaled", extra=extra)
    assert [line.get("repeats") for line in log.lines] == [None, 5999]
    log.now += REPEAT_S
    pool.warning("not scaled", extra={"pool": "acme/research"})
    assert log.lines[-1]["repeats"] == 3999


def test_failures_of_other_pools_and_of_other_kinds_are_lines_of_their_own(log: Log) -> None:
    logger = log.of("controller.engine.actuate")
    for pool in range(200):
        for _ in range(5):
            logger.warning("not scaled", extra={"pool": f"acme/{pool}", "outcome": "failed"})
    logger.warning("not scaled", extra={"pool": "acme/0", "outcome": "forbidden"})
    assert len(log.lines) == 201


def test_libraries_that_repeat_themselves_with_other_numbers_are_one_line(log: Log) -> None:
    for number in range(100):
        log.of("asyncio").error(
            f"socket.accept() out of system resource\nsocket: <fd={number}, port {number}>"
        )
        log.of("nats.aio.client").error("nats: encountered error %d", number)
        log.of("aiohttp.server").error(f"Error handling request from 127.0.0.1:{number}")
    assert len(log.lines) == 3


def test_what_is_no_failure_is_always_written(log: Log) -> None:
    for number in range(50):
        log.of("controller.engine.actuate").info("scaled", extra={"after": number})
    assert len(log.lines) == 50


def test_a_change_of_state_is_never_a_repeat_so_that_the_last_line_is_how_it_is(log: Log) -> None:
    client = log.of("controller.kube.client")
    for state in ("disconnected", "connected") * 3:
        level = logging.WARNING if state == "disconnected" else logging.INFO
        client.log(level, "kubernetes %s", state, extra={"is_change": True})
    assert [line["message"].split()[1] for line in log.lines] == ["disconnected", "connected"] * 3
    assert "is_change" not in log.lines[0]


def test_the_memory_of_failures_is_bounded(log: Log) -> None:
    logger = log.of("controller.engine.actuate")
    for number in range(KNOWN_FAILURES + 10):
        logger.warning("not scaled", extra={"pool": str(number)})
    logger.warning("not scaled", extra={"pool": str(KNOWN_FAILURES)})
    assert len(log.lines) == KNOWN_FAILURES + 10
    logger.warning("not scaled", extra={"pool": "0"})
    assert len(log.lines) == KNOWN_FAILURES + 11
