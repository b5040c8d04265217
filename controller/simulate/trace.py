"""Reads workload traces: CSV files, plain or gzip, with one task per line."""

from __future__ import annotations

import csv
import gzip
import io
import random
import zlib
from collections.abc import Sequence
from heapq import merge
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

from controller.model.text import clean, clean_name, listed

# the mean of an exponential distribution, for traces without service times
WEB_SERVICE_S: Final = 5.0
POOL_COLUMNS: Final = ("pool", "role", "tenant")
"""The columns that may name a task's pool, in the order in which they are looked for."""


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


def read_trace(path: Path, pool_by: str = "", *, seed: int = 1) -> Trace:
    """Read a CSV file, plain or gzip, with the columns `arrival_s`, `service_s` and `pool_by`,
    which names a task's pool; without it, with the first of `POOL_COLUMNS` that is there.

    An empty `service_s` is drawn from an exponential distribution with mean `WEB_SERVICE_S`, with
    `seed`. Raises TraceError for a file that cannot be read, or is no such table: a missing column,
    a field that is not a number, a negative duration, arrivals out of order, or no task.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise TraceError(f"{path.name}: {error}") from error
    return parse_trace(text, pool_by, seed=seed, name=path.name)


def parse_trace(text: str, pool_by: str = "", *, seed: int = 1, name: str = "trace") -> Trace:
    """`read_trace` for a text; `name` stands for the file in errors."""
    rows = csv.reader(io.StringIO(text))
    header = next(rows, [])
    at, lasts, whose = _columns(header, pool_by, name)
    draw = random.Random(seed).expovariate
    pools: dict[str, list[TraceTask]] = {}
    end_s = 0.0
    for row in rows:
        try:
            arrival_s = float(row[at])
            service_s = float(row[lasts]) if row[lasts] else draw(1 / WEB_SERVICE_S)
            pool = row[whose]
        except ValueError as error:
            raise TraceError(f"{name}, line {rows.line_num}: {clean(error)}") from error
        except IndexError:
            raise TraceError(f"{name}, line {rows.line_num}: a field is missing") from None
        if not end_s <= arrival_s < inf or not 0 <= service_s < inf:
            raise TraceError(
                f"{name}, line {rows.line_num}: out of order, or not a time that can be"
            )
        end_s = arrival_s
        pools.setdefault(pool, []).append(TraceTask(arrival_s, service_s))
    if not pools:
        raise TraceError(f"{name}: no task in it")
    return Trace(pools, end_s)


def _columns(header: list[str], pool_by: str, name: str) -> tuple[int, int, int]:
    """Where the arrival, the duration and the pool stand."""
    whose = [each for each in ((pool_by,) if pool_by else POOL_COLUMNS) if each in header]
    missing = [each for each in ("arrival_s", "service_s") if each not in header]
    if not whose:
        missing.append(pool_by or " or ".join(POOL_COLUMNS))
    if missing:
        has = listed([clean_name(each) for each in header]) if header else "none"
        raise TraceError(f"{name}: no column {', '.join(missing)}; it has {has}")
    return header.index("arrival_s"), header.index("service_s"), header.index(whose[0])


def joined(traces: Sequence[Trace]) -> Trace:
    """Several traces that begin at the same moment as one; pools of one name become one pool."""
    if len(traces) == 1:
        return traces[0]
    pools: dict[str, list[TraceTask]] = {}
    for trace in traces:
        for name, tasks in trace.pools.items():
            pools[name] = list(merge(pools.get(name, []), tasks))
    return Trace(pools, max(trace.end_s for trace in traces))
