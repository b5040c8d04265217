"""Names: the pools that were asked for, those that no tick has seen, and names in ticks that the
fleet does not have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from controller.model.faults import InputFault
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.text import clean_name
from controller.model.tick import Tick
from controller.model.unknown_names import (
    NameKind,
    listed,
    sentence,
    unknown_names,
    unknown_pool,
)
from controller.planning.demand.hpa_metrics import reading_name

MAX_NAMES_TOLD: Final = 1000
_NEAREST_FOR: Final = 20
"""Names that are compared with all names of the fleet, which takes long where those are
thousands.
"""


def choose(fleet: Fleet, names: Sequence[str]) -> tuple[list[Pool], list[str]]:
    """The pools of these names, each once, in this order; and a sentence for each unknown name. A
    name is a key, or its part after the tenant where only one pool is called so.
    """
    pools = {pool.key: pool for pool in fleet.pools}
    found: dict[PoolKey, Pool] = {}
    problems: list[str] = []
    for name in dict.fromkeys(names):
        keys = [PoolKey(name)] if name in pools else _called(name, pools)
        if len(keys) == 1:
            found[keys[0]] = pools[keys[0]]
        elif keys:
            problems.append(f"{clean_name(name)} can be {listed(keys)}")
        else:
            problems.append(unknown_pool(name, fleet))
    return list(found.values()), problems


def _called(name: str, pools: Iterable[PoolKey]) -> list[PoolKey]:
    return [key for key in pools if key.rpartition("/")[2] == name]


def unseen(pools: Iterable[Pool], seen: Collection[PoolKey]) -> str:
    """A sentence about the pools that the last tick did not see, or an empty text."""
    missing = [pool.key for pool in pools if pool.key not in seen]
    return f"not seen, so not decided: {listed(missing)}" if missing else ""


class UnknownNamesTold:
    """The names in ticks that the fleet does not have. Each is told where it stands first: a
    recording repeats its names in every tick.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._told: set[tuple[NameKind, str, str]] = set()

    @property
    def count(self) -> int:
        """The names found so far."""
        return len(self._told)

    def faults(self, tick: Tick) -> Iterator[InputFault]:
        """A fault for each unknown name of the tick that no tick before it had."""
        intents = tick.intents or Intents()
        for found in unknown_names(self._fleet, tick.observation, intents, reading_name):
            identity = (found.kind, found.name, found.pool)
            if identity in self._told:
                continue
            self._told.add(identity)
            if self.count <= MAX_NAMES_TOLD:
                advised = self.count <= _NEAREST_FOR
                words = sentence(found, self._fleet, reading_name, advised=advised)
                yield InputFault(found.path, words)
