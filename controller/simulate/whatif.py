"""What if: the past of a fleet planned twice, under its fleet file and under a changed one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from controller.model.decision import Decision
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, TenantObservation, TokenUsage
from controller.model.readings import Absent, Fresh, Reading, Why, last_known
from controller.model.snapshot import Snapshot, TenantView
from controller.planning.compile import compile_fleet
from controller.planning.memo import Kept
from controller.planning.planner import plan
from controller.simulate.planned import PlannerPolicy
from controller.simulate.score import Score, score
from controller.simulate.trace import TraceTask
from controller.simulate.world import World, run_pool

GAP_S: Final = 60.0
"""Time between two snapshots that are further apart counts nowhere."""
_READY_S: Final = 19.0


class Difference(NamedTuple):
    """A decision that would differ: the targets under both files, and their rules."""

    at: float
    pool: PoolKey
    before: int | None
    after: int | None
    bound_before: str
    bound_after: str


class PoolWhatIf(NamedTuple):
    """One pool under both files. Hours are replica-hours of its targets while its past is as it
    was; the scores are of its own arrivals simulated, None where they are not known.
    """

    seen_s: float
    differs_s: float
    hours_before: float
    hours_after: float
    differences: tuple[Difference, ...]
    before: Score | None = None
    after: Score | None = None


class _Twin:
    """One fleet, planned tick by tick on what was seen."""

    def __init__(self, fleet: Fleet) -> None:
        self._terms = compile_fleet(fleet)
        self._memory = Memory()
        self._kept: Kept | None = None
        self.keys = {pool.key for pool in fleet.pools}

    def decide(self, seen: Observation, at: float) -> Mapping[PoolKey, Decision]:
        made = plan(seen, self._terms, Intents(), self._memory, at, self._kept)
        self._memory, self._kept = made.memory, made.kept
        return made.plan.decisions


class WhatIf:
    """Both fleets over the snapshots of a journal."""

    def __init__(self, before: Fleet, after: Fleet) -> None:
        self._before, self._after = _Twin(before), _Twin(after)
        self._pools = {pool.key: pool for pool in before.pools}, {p.key: p for p in after.pools}
        self.known_s = self.begin = self.end = 0.0
        self._sums: dict[PoolKey, list[float]] = {}
        self._found: dict[PoolKey, list[Difference]] = {}
        self._arrivals: dict[PoolKey, list[float]] = {}
        self._seconds: dict[PoolKey, float] = {}
        self._ready_s: dict[PoolKey, list[float]] = {}

    def add_all(self, snapshots: Iterable[Snapshot], since: float) -> None:
        """Plan each snapshot from `since` (Unix seconds) on under both."""
        for now, following in pairwise(snapshots):
            length_s = following.at - now.at
            if now.at >= since and 0 < length_s <= GAP_S:
                self.begin = self.begin or now.at
                self.end, self.known_s = following.at, self.known_s + length_s
                self._compare(now, length_s)
                self._add_tasks(now, following)

    def _compare(self, snapshot: Snapshot, length_s: float) -> None:
        seen = observation_of(snapshot)
        before = self._before.decide(seen, snapshot.at)
        after = self._after.decide(seen, snapshot.at)
        for key in self._before.keys & self._after.keys & seen.pools.keys():
            one, other = before[key], after[key]
            if one.target is None or other.target is None:
                continue
            sums = self._sums.setdefault(key, [0.0, 0.0, 0.0, 0.0])
            differs = one.target != other.target
            parts = (1, differs, one.target, other.target)
            self._sums[key] = [s + part * length_s for s, part in zip(sums, parts, strict=True)]
            if differs:
                targets, bounds = (one.target, other.target), (one.bound.value, other.bound.value)
                self._note(Difference(snapshot.at, key, *targets, *bounds))

    def _note(self, found: Difference) -> None:
        """Keep it, unless the last one is the same decision still."""
        known = self._found.setdefault(found.pool, [])
        if not known or known[-1][2:] != found[2:]:
            known.append(found)

    def _add_tasks(self, now: Snapshot, following: Snapshot) -> None:
        """The messages that arrived between two snapshots, evenly spread."""
        later = {view.key: view.observation for view in following.pools}
        for view in now.pools:
            seen = later.get(view.key)
            one = last_known(view.observation.queue)
            other = None if seen is None else last_known(seen.queue)
            if seen is None or one is None or other is None:
                continue
            if seen.task_usage is not None:
                self._seconds[view.key] = float(seen.task_usage.seconds)
            count = (other.delivered or 0) - (one.delivered or 0) + other.pending - one.pending
            step_s, begin_s = (following.at - now.at) / max(count, 1), now.at - self.begin
            arrivals = (begin_s + number * step_s for number in range(count))
            self._arrivals.setdefault(view.key, []).extend(arrivals)
            pods = last_known(view.observation.pods)
            items = pods.items if pods is not None else ()
            self._ready_s.setdefault(view.key, []).extend(
                pod.ready_at - pod.created_at for pod in items if pod.ready_at
            )

    def pools(self) -> Iterator[tuple[PoolKey, PoolWhatIf]]:
        """Each pool of both files; those whose own settings change are simulated, too."""
        for key, (seen_s, differs_s, before_s, after_s) in sorted(self._sums.items()):
            old, new = (pools[key] for pools in self._pools)
            scores = (self._scored(old), self._scored(new)) if old != new else (None, None)
            found = tuple(self._found.get(key, ()))
            hours = (before_s / 3600, after_s / 3600)
            yield key, PoolWhatIf(seen_s, differs_s, *hours, found, *scores)

    def _scored(self, pool: Pool) -> Score | None:
        seconds = self._seconds.get(pool.key)
        if seconds is None or pool.signals or pool.modifiers is not None:
            return None
        tasks = [TraceTask(at, seconds) for at in self._arrivals[pool.key]]
        ready_s = median(self._ready_s.get(pool.key) or [_READY_S])
        world = World(slots=pool.slots, time_to_ready_s=ready_s, least=pool.min)
        return score([run_pool(tasks, PlannerPolicy(pool), world, self.end - self.begin)])


def observation_of(snapshot: Snapshot) -> Observation:
    """What a snapshot keeps of what was seen: pools, and tokens of budgets."""
    return Observation(
        pools={view.key: view.observation for view in snapshot.pools},
        tenants={
            each.name: TenantObservation(usage=_usage(each, snapshot.at))
            for each in snapshot.tenants
        },
    )


def _usage(tenant: TenantView, at: float) -> Reading[TokenUsage]:
    tokens = tenant.tokens
    if tokens is None or tokens.used is None:
        return Absent(why=Why.NEVER_READ, at=at)
    used = TokenUsage(
        used=Decimal(tokens.used),
        reserved=Decimal(tokens.reserved or 0),
        burn_per_minute=Decimal(str(tokens.burn_per_minute or 0)),
    )
    return Fresh(value=used, at=at)
