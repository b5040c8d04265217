"""Pools by name: those that were asked for, those that nobody knows, those that were not seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.text import clean_name
from controller.model.tick import Tick

NAMES_TOLD: Final = 10
_NEAR: Final = 3


def choose(fleet: Fleet, names: Sequence[str]) -> tuple[list[Pool], list[str]]:
    """The pools with these keys, each once, in this order; and a sentence for each unknown name."""
    pools = {pool.key: pool for pool in fleet.pools}
    wanted = dict.fromkeys(map(PoolKey, names))
    problems = [_unknown(name, fleet) for name in wanted if name not in pools]
    return [pools[name] for name in wanted if name in pools], problems


def unseen(pools: Iterable[Pool], seen: Collection[PoolKey]) -> str:
    """A sentence about those of the pools that the last tick did not see, or nothing."""
    missing = [pool.key for pool in pools if pool.key not in seen]
    return f"not seen, so not decided: {_listed(missing)}" if missing else ""


class Strangers:
    """Remembers which pools were observed that the fleet file does not have."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._known = {pool.key for pool in fleet.pools}
        self._found: dict[PoolKey, None] = {}

    def watch(self, ticks: Iterable[Tick]) -> Iterator[Tick]:
        """The same ticks, looked at as they pass."""
        for tick in ticks:
            self._found.update(dict.fromkeys(tick.observation.pools.keys() - self._known))
            yield tick

    def notes(self) -> list[str]:
        """A sentence about them, if there are any."""
        found = sorted(self._found)
        if len(found) == 1:
            return [f"observed, yet {_unknown(found[0], self._fleet)}"]
        return [f"observed, yet not in the fleet file: {_listed(found)}"] if found else []


def _unknown(name: str, fleet: Fleet) -> str:
    text = f"the fleet has no pool {clean_name(name)}"
    keys = [pool.key for pool in fleet.pools]
    same_name = [pool.key for pool in fleet.pools if pool.name == name.rpartition("/")[2]]
    near = dict.fromkeys([*same_name, *get_close_matches(name, keys, n=_NEAR)])
    if near:
        return f"{text}; nearest: {', '.join(list(near)[:_NEAR])}"
    return f"{text}; it has {_listed(keys)}" if keys else f"{text}; it has none"


def _listed(names: Sequence[str]) -> str:
    told, more = ", ".join(names[:NAMES_TOLD]), len(names) - NAMES_TOLD
    return f"{told} and {more:,} more" if more > 0 else told
