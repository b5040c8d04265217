"""Reads workload traces: CSV files, plain or gzip, with one task per line."""

from __future__ import annotations

import csv
import gzip
import io
import random
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

# the mean of an exponential distribution, for traces without service times
WEB_SERVICE_S: Final = 5.0


class PoolBy(StrEnum):
    """Which column of the trace names a task's pool."""

    ROLE = "role"
    TENANT = "tenant"


class TraceError(ValueError):
    """A trace that cannot be read; the message has the file, the line and the fault."""


class TraceTask(NamedTuple):
    """One task: when it arrives, and how long it keeps a slot busy (seconds)."""

    arrival_s: float
    service_s: float


class Trace(NamedTuple):
    """Tasks by pool, sorted by arrival; `end_s` is the last arrival of all pools (seconds)."""

    pools: dict[str, list[TraceTask]]
    end_s: float

    @property
    def tasks(self) -> int:
        """How many tasks all pools have."""
        return sum(len(tasks) for tasks in self.pools.values())


def read_trace(path: Path, pool_by: PoolBy, *, seed: int = 1) -> Trace:
    """Read a file with the columns `arrival_s`, `service_s` and the one that names the pool.

    An empty `service_s` is drawn from an exponential distribution with mean `WEB_SERVICE_S`, with
    `seed`. Raises OSError for a file that cannot be read, and TraceError for a missing column, a
    field that is not a number, a negative duration, or arrivals out of order.
    """
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    return parse_trace(text, pool_by, seed=seed, name=path.name)


def parse_trace(text: str, pool_by: PoolBy, *, seed: int = 1, name: str = "trace") -> Trace:
    """`read_trace` for a text; `name` stands for the file in errors."""
    rows = csv.reader(io.StringIO(text))
    header = next(rows, [])
    missing = {"arrival_s", "service_s", pool_by.value} - set(header)
    if missing:
        raise TraceError(f"{name}: no column {', '.join(sorted(missing))}")
    at, lasts, whose = (header.index(c) for c in ("arrival_s", "service_s", pool_by.value))
    draw = random.Random(seed).expovariate
    pools: dict[str, list[TraceTask]] = {}
    end_s = 0.0
    for row in rows:
        try:
            arrival_s = float(row[at])
            service_s = float(row[lasts]) if row[lasts] else draw(1 / WEB_SERVICE_S)
            pool = row[whose]
        except (ValueError, IndexError) as error:
            raise TraceError(f"{name}, line {rows.line_num}: {error}") from error
        if not end_s <= arrival_s or not service_s >= 0:
            raise TraceError(f"{name}, line {rows.line_num}: out of order, or a negative duration")
        end_s = arrival_s
        pools.setdefault(pool, []).append(TraceTask(arrival_s, service_s))
    return Trace(pools, end_s)
