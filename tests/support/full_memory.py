"""A memory in which no field is empty, to test that a rule holds for every time in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from controller.model.memory import (
    BINS,
    Forecast,
    NativeMemory,
    NativeState,
    PendingWrite,
    PoolMemory,
    RecommendationRun,
    Repeats,
    ScaleChange,
    SetBack,
)

Path = tuple[str | int, ...]


def full_memory(at: float) -> PoolMemory:
    """A pool's memory in which every time is `at` (Unix seconds)."""
    forecast = Forecast(at=at, anchor=1.0, scale=1.0, demand=1.0, mean=1.0)
    learned = NativeState(
        at=at,
        arrivals=1,
        completions=1,
        moves=(0.0,) * BINS,
        wanted_at=at,
        forecasts=(forecast,),
    )
    return PoolMemory(
        since=at,
        last_active_at=at,
        recommendations=(RecommendationRun(replicas=8, first_at=at, last_at=at),),
        scaled_up=(ScaleChange(change=2, at=at),),
        scaled_down=(ScaleChange(change=1, at=at),),
        asked=PendingWrite(before=7, after=8, at=at, earlier=(6,), generation=3),
        ours=8,
        replaced=SetBack(ours=8, theirs=7, at=at),
        set_back=(SetBack(ours=8, theirs=7, at=at),),
        blind_since=at,
        repeats=Repeats(messages=3, since=at, delivered=900, sequence=900),
        queue_repeats=(Repeats(messages=3, since=at, delivered=900, sequence=900), None),
        native=NativeMemory(
            learned=learned,
            asked_at=at,
            pending=0,
            delivered=1000,
            sequence=1000,
            ready_s=9.0,
            in_flight_at=at,
            quiet_since=at,
            surplus_since=at,
        ),
        active_since=at,
    )


def time_paths(plain: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every time in a memory of builtin types, known by its name."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from time_paths(value, (*path, key))
    elif isinstance(plain, list | tuple):
        for index, value in enumerate(plain):
            yield from time_paths(value, (*path, index))
    elif path and str(path[-1]).rpartition("_")[2] in {"at", "since"}:
        yield path


def with_value(plain: Any, path: Path, value: object) -> Any:
    """A copy of builtin values with another value at this path."""
    changed = inner = msgspec.json.decode(msgspec.json.encode(plain))
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed
