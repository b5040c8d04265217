"""What an operator's intent would change now: the same plan, made once without it and once with it.

Replicas that differ between the two plans are counted by what becomes of them now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from controller.model.decision import Code, Decision, Gate
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKey, Intents, gathered, key_of
from controller.model.memory import Memory
from controller.model.observation import Observation, PoolObservation
from controller.model.readings import last_known
from controller.model.value import Value
from controller.planning.compile import compile_fleet
from controller.planning.inputs import concerns
from controller.planning.planner import plan


class PoolEffect(Value):
    """One pool of which something changes, in replicas.

    - `starts`: they start now. `goes`: idle ones that go now. `finishes`: busy ones that go when
      they have finished. `follows`: idle ones that cannot go before these: those below a busy pod
      of a StatefulSet, and those of a Deployment in a rollout.
    - `waits`: they would start and do not. `stays`: they would go and do not.
    - `target_before`, `target_after`: None where nobody can know.
    """

    pool: PoolKey
    current: int
    target_before: int | None
    target_after: int | None
    starts: int = 0
    goes: int = 0
    finishes: int = 0
    waits: int = 0
    stays: int = 0
    follows: int = 0


class Effect(Value):
    """What changes now. `concerned`: the pools that the intent is about. `unknown`: those of them
    that are not known well enough to say. `changed`: the pools, of the whole fleet, for which
    something changes.
    """

    concerned: tuple[PoolKey, ...]
    unknown: tuple[PoolKey, ...]
    changed: tuple[PoolEffect, ...]

    def words(self) -> str:
        """The numbers in one line: `3 pools, 11 idle replicas go now, 4 busy ones finish first`."""
        parts = [_counted(len(self.concerned), "pool")]
        for name, (one, several) in _WORDS.items():
            count = sum(getattr(each, name) for each in self.changed)
            if count:
                parts.append(f"{_counted(count, 'replica')} {one if count == 1 else several}")
        moved = any(each.target_before != each.target_after for each in self.changed)
        if len(parts) == 1:
            parts.append("only targets change now" if moved else "nothing changes now")
        others = {each.pool for each in self.changed}.difference(self.concerned)
        if others:
            parts.append(f"{_counted(len(others), 'other pool')} among them")
        if self.unknown:
            parts.append(f"{len(self.unknown):,} not known well enough to say")
        return ", ".join(parts)


_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "starts": ("starts now", "start now"),
        "goes": ("idle now goes", "idle now go"),
        "finishes": ("busy now finishes first", "busy now finish first"),
        "follows": ("idle now goes after them", "idle now go after them"),
        "waits": ("that would start does not", "that would start do not"),
        "stays": ("that would go stays", "that would go stay"),
    }
)
"""Of one replica and of several."""


def changed_intents(intents: Intents, key: IntentKey, intent: Intent | None) -> Intents:
    """These intents with this one at its key, or with none there."""
    others = [each for each in intents if key_of(each) != key]
    return gathered(others if intent is None else [*others, intent])


def effect_of(
    key: IntentKey,
    intent: Intent | None,
    *,
    observation: Observation,
    fleet: Fleet,
    intents: Intents,
    memory: Memory,
    now: float,
) -> Effect:
    """What changes now if `intent` is put at `key`, or taken away from there if it is None; all
    others are what a plan is made of.
    """
    terms = compile_fleet(fleet)
    asked = changed_intents(intents, key, intent)
    without = plan(observation, terms, intents, memory, now).plan.decisions
    within = plan(observation, terms, asked, memory, now).plan.decisions
    concerned = tuple(pool.key for pool in fleet.pools if concerns(key.scope, pool))
    return Effect(
        concerned=concerned,
        unknown=tuple(
            pool for pool in concerned if pool not in within or within[pool].next is None
        ),
        changed=tuple(
            _effects(
                (observation.pools.get(pool.key), without.get(pool.key), within.get(pool.key))
                for pool in fleet.pools
            )
        ),
    )


def _effects(
    seen: Iterable[tuple[PoolObservation | None, Decision | None, Decision | None]],
) -> Iterator[PoolEffect]:
    for pool, before, after in seen:
        if pool is None or before is None or after is None:
            continue
        if before.next is None or after.next is None or after.current is None:
            continue
        if (before.next, before.target) == (after.next, after.target):
            continue
        current = after.current
        was, will = _leaving(before, pool), _leaving(after, pool)
        yield PoolEffect(
            pool=after.pool,
            current=current,
            target_before=before.target,
            target_after=after.target,
            starts=max(after.next - max(current, before.next), 0),
            goes=max(min(current, before.next) - after.next, 0) + max(will.goes - was.goes, 0),
            finishes=max(will.finishes - was.finishes, 0),
            waits=max(before.next - max(current, after.next), 0),
            stays=max(min(current, after.next) - before.next, 0),
            follows=max(will.follows - was.follows, 0),
        )


class _Leaving(NamedTuple):
    """Replicas above the target that a scale-down under way removes, as in PoolEffect."""

    goes: int = 0
    finishes: int = 0
    follows: int = 0


def _leaving(decision: Decision, seen: PoolObservation) -> _Leaving:
    """The replicas that go after this tick. Idle workers that are told to stop are drained within
    a moment, so they count as gone.
    """
    if decision.gate is not Gate.BUSY or decision.next is None or decision.target is None:
        return _Leaving()
    surplus = max(decision.next - decision.target, 0)
    reason = next((each for each in reversed(decision.reasons) if each.code in _BUSY), None)
    if reason is None:
        return _Leaving(finishes=surplus)
    busy = int(reason.numbers["busy"]) if "busy" in reason.numbers else _busy_workers(seen)
    finishes = min(busy, surplus)
    if reason.code is not Code.DRAINING:
        return _Leaving(finishes=finishes, follows=surplus - finishes)
    removed = max((decision.current or 0) - decision.next, 0)
    going = int(reason.numbers["going"]) - removed - finishes
    return _Leaving(goes=max(min(going, surplus - finishes), 0), finishes=finishes)


_BUSY: Final = frozenset(
    {
        Code.BUSY,
        Code.DRAINING,
        Code.BUSY_AT_THE_TOP,
        Code.BUSY_SOMEWHERE,
        Code.ROLLING_OUT,
        Code.ROLLOUT_PAUSED,
    }
)
"""Why replicas above the target stay for now."""


def _busy_workers(seen: PoolObservation) -> int:
    workers = None if seen.workers is None else last_known(seen.workers)
    return 0 if workers is None else sum(state.busy > 0 for state in workers.states)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
