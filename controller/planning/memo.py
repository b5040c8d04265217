"""What is kept between plans, and the work of one plan that goes by it.

A plan computes again what has changed since the one before; without anything kept it has the same
result and takes longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from math import inf
from operator import is_not, ne
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from controller.model.decision import Code, Decision, Gate, Plan, Reason
from controller.model.ids import PoolKey
from controller.model.intents import IntentKind, Intents
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import Observation, PoolObservation
from controller.model.readings import last_known
from controller.model.value import INT32_MAX
from controller.planning.compile import FleetTerms
from controller.planning.demand.demand import blind_demand_of
from controller.planning.demand.queue import blindness
from controller.planning.inputs import Moment, PoolInput, concerns
from controller.planning.memory import after_plan, blind_after_plan, fleet_memory
from controller.planning.room import Grown, Occupancy, Room, occupancy_of, room_of
from controller.planning.share.claims import Entry, Sharer, entry_of, fixed_sharer
from controller.planning.share.divide import Shared, shared_of
from controller.planning.share.reasons import CostAlert, cost_alerts, target_of, with_alert
from controller.planning.share.rows import Scarcity, scarcity_of
from controller.planning.values import Demand, Limits, Next, SharingError, Target, because


class Planned(NamedTuple):
    """A plan, and what the next plan takes. `changed` are the decisions made again; all others are
    those of the previous plan.
    """

    plan: Plan
    changed: Mapping[PoolKey, Decision]
    memory: Memory
    kept: Kept | None


class LocalPlan(msgspec.Struct, frozen=True, gc=False):
    """Steps 1 and 2 of one pool alone; with the same demand valid until `changes_at`."""

    given: PoolInput
    demand: Demand
    limits: Limits
    changes_at: float


class Result(msgspec.Struct, frozen=True, gc=False):
    """The result of one pool; valid until `changes_at` (Unix seconds) if its inputs and its demand
    stay the same.

    `local`, `entry` and `target` are None where the Deployment is not known. `memory` is the pool's
    memory after the plan.
    """

    decision: Decision
    memory: PoolMemory | None
    changes_at: float
    local: LocalPlan | None = None
    entry: Entry | None = None
    target: Target | None = None

    @property
    def last_size(self) -> int | None:
        """The last known size of a Deployment that is not known now; None if not plausible."""
        current = self.decision.current
        return current if current is not None and 0 <= current <= INT32_MAX else None


class Kept(NamedTuple):
    """One whole plan. Lists are by pool number.

    - `seen`: the observations. `results`: None for a pool that was not decided. `times`: when each
      result has to be computed again (Unix seconds); `due` is the first.
    - `memories`: the fleet's memory after the plan. `unsettled`: the pools that the next plan has
      to compute again in any case: it begins with another memory of them, they were being written,
      or a plan of other pools left them undecided.
    - `decisions`: all decisions without cost alerts. `alerted`: the same with them.
    """

    terms: FleetTerms
    intents: Intents
    at: float
    seen: list[PoolObservation | None]
    results: list[Result | None]
    times: list[float]
    due: float
    scarcity: Scarcity
    shared: Shared | None
    room: Room | None
    memories: Mapping[PoolKey, PoolMemory]
    unsettled: tuple[int, ...]
    decisions: dict[PoolKey, Decision]
    alerts: tuple[CostAlert, ...]
    alerted: dict[PoolKey, Decision]


class PlanPass:
    """One plan on its way; pools are named by their number.

    - `is_partial`: only some pools were observed, and the others are not decided.
    - `recompute`: the pools to compute again. `fixed`: those that are being written, with the most
      replicas they may have after it.
    - `local`: the results of steps 1 and 2. `results`: those of pools that are decided.
    """

    def __init__(  # noqa: PLR0917 - these are what a plan is a function of
        self,
        observation: Observation,
        terms: FleetTerms,
        intents: Intents,
        memory: Memory,
        now: float,
        kept: Kept | None,
    ) -> None:
        if kept is not None and (
            kept.terms is not terms or now < kept.at or observation.clock_step_s
        ):
            kept = None  # it does not fit: another fleet, a later time, or a step of the clock
        self.terms, self.intents, self.memory = terms, intents, memory
        self.now, self.kept, self._observation = now, kept, observation
        self.planned_at = now if memory.planned_at is None else min(memory.planned_at, now)
        self.is_partial = len(observation.pools) < len(terms.numbered)
        number_of, pools = terms.sharing.number_of, observation.pools
        self.fixed = {
            number_of[key]: min(max(replicas, 0), INT32_MAX)
            for key, replicas in observation.under_way.items()
            if key in number_of
        }
        self._due = set[int]()
        self.seen: list[PoolObservation | None]
        if kept is not None and self.is_partial:
            observed = sorted(number_of[key] for key in pools if key in number_of)
            self.seen = list(kept.seen)
            for number in observed:
                self.seen[number] = pools[terms.numbered[number].pool.key]
            self.has_unseen = False
        else:
            self.seen = list(map(pools.get, number_of))
            self.has_unseen = None in self.seen
            changed = range(len(self.seen)) if kept is None else self._changed(kept)
            observed = [number for number in changed if self.seen[number] is not None]
        self.recompute = [number for number in observed if number not in self.fixed]
        self.local: dict[int, LocalPlan] = {}
        self.results: dict[int, Result] = {}
        self._until: dict[int, float] = {}
        self._unknown: dict[int, int | None] = {}
        self._entries: dict[int, Entry] = {}
        self._targets: dict[int, Target] = {}
        self._scarcity: Scarcity | None = None
        self._is_sharing = False
        self._shared: Shared | None = None
        self._room: Room | None = None
        self._moved: Iterable[int] = ()
        self._regrown: frozenset[int] = frozenset()

    # what has changed

    def _changed(self, kept: Kept) -> list[int]:
        """The pools that have to be computed again."""
        numbers = range(len(self.seen))
        changed = set(compress(numbers, map(is_not, self.seen, kept.seen)))
        changed.update(kept.unsettled)
        changed.update(self._replaced(kept))
        if self.intents is not kept.intents:
            for scope in {each.scope for each in {*self.intents} ^ {*kept.intents}}:
                changed.update(
                    number
                    for number, each in enumerate(self.terms.numbered)
                    if concerns(scope, each.pool)
                )
        if kept.due <= self.now:
            self._due.update(compress(numbers, map(self.now.__ge__, kept.times)))
            self._due.difference_update(changed)
        return sorted(changed | self._due)

    def _replaced(self, kept: Kept) -> Iterable[int]:
        """The pools whose memory is not the object that the previous plan returned."""
        now, before = self.memory.pools, kept.memories
        if now is before:
            return ()
        number_of = self.terms.sharing.number_of
        differ = map(is_not, map(now.get, number_of), map(before.get, number_of))
        return compress(range(len(number_of)), differ)

    def unknown(self, number: int, seen: PoolObservation, before: PoolMemory | None) -> None:
        """Take a pool whose Deployment is not known: its demand is shown, nothing is written."""
        terms, workload = self.terms.numbered[number], last_known(seen.workload)
        demand = blind_demand_of(terms, seen, before or PoolMemory(since=self.now))
        reason = Reason(code=Code.WORKLOAD_UNKNOWN, numbers=blindness(seen.workload))
        decision = Decision(
            pool=terms.pool.key,
            current=None if workload is None else workload.replicas,
            demand=demand.replicas,
            recommendation=None,
            target=None,
            next=None,
            gate=Gate.BLIND,
            reasons=(*demand.reasons, reason),
        )
        if before is not None:
            before = blind_after_plan(
                before, active=demand.active, planned_at=self.planned_at, now=self.now
            )
        result = self.results[number] = Result(decision, before, inf)
        self._until[number] = inf
        self._unknown[number] = result.last_size

    def still_holds(self, number: int, demand: Demand, until: float) -> bool:
        """Whether the kept result holds: only the demand was due, and it is the same."""
        self._until[number] = until
        result = self.kept.results[number] if self.kept and number in self._due else None
        return (
            result is not None
            and result.local is not None
            and result.changes_at > self.now
            and result.local.demand == demand
        )

    # 3. share

    def share(self) -> None:
        """Divide all rows; the targets that may differ follow. Raises SharingError."""
        terms, kept = self.terms.sharing, self.kept
        before = None if kept is None else kept.scarcity
        budgets = self.intents.of(IntentKind.BUDGET)
        scarcity = scarcity_of(terms, self._observation, self.now, before, budgets)
        self._scarcity = scarcity
        decided = {**self._with_changed_limits(scarcity), **self.local}
        self._is_sharing = bool(scarcity.rows or scarcity.restrained or scarcity.unreadable)
        if not self._is_sharing:
            for number, one in decided.items():
                self._targets[number] = Target(one.limits.replicas, one.limits.bound)
            return
        for number, one in decided.items():
            pool = terms.pools[number]
            works = bool(one.demand.messages) and pool.tenant != terms.without_baseline
            self._entries[number] = entry_of(
                pool,
                one.given.seen,
                one.limits,
                current=one.given.current,
                works=works,
                scarcity=scarcity,
            )
        if scarcity.rows:
            known = None if kept is None else kept.shared
            self._shared = shared_of(terms, scarcity, self._sharers(), known)
        shared, division = self._shared, self._shared and self._shared.division
        self._moved = self._moved_in(scarcity)
        for number in {*self._moved, *self._entries}:
            entry, result = self._entries.get(number), kept and kept.results[number]
            if entry is None and result is not None:
                entry = result.entry
            if entry is None or not self._is_decided(number):
                continue
            replicas, refused_by = entry.target.replicas, None
            if shared is not None and division is not None:
                replicas, refused_by = division.have[number], shared.refused_by(number)
            self._targets[number] = target_of(
                entry, terms.pools[number], replicas, refused_by, scarcity
            )

    def unshared(self, error: SharingError) -> None:
        """The targets if an input cannot be used for sharing: each pool keeps its present size."""
        self._shared = self._room = self._scarcity = None
        self._is_sharing = False
        self._entries, self._targets = {}, {}
        for number, one in self.local.items():
            limits, current = one.limits, one.given.current
            self._targets[number] = Target(limits.replicas, limits.bound)
            if limits.replicas != current and not limits.left_alone:
                reason = because(Code.UNSHAREABLE, current, subject=error.subject)
                self._targets[number] = Target(current, limits.bound, (reason,))

    def _is_decided(self, number: int) -> bool:
        """Whether this plan decides the pool: observed, Deployment known, no write under way."""
        if number in self._unknown or number in self.fixed:
            return False
        return number in self.local if self.is_partial else self.seen[number] is not None

    def _with_changed_limits(self, scarcity: Scarcity) -> dict[int, LocalPlan]:
        """The pools for which a limit without a row has changed."""
        kept = self.kept
        if kept is None or self.is_partial or scarcity.tenants is kept.scarcity.tenants:
            return {}
        tenants = scarcity.changed_tenants(kept.scarcity)
        if tenants is not None and not tenants:
            return {}
        return {
            number: result.local
            for number, result in enumerate(kept.results)
            if result is not None
            and result.local is not None
            and (tenants is None or self.terms.numbered[number].pool.tenant in tenants)
            and self._is_decided(number)
        }

    def _sharers(self) -> dict[int, Sharer | None]:
        """The pools whose sharer may differ from the previous division; all without one."""
        kept, found = self.kept, dict[int, Sharer | None]()
        if kept is not None and kept.shared is None:
            for number, result in enumerate(kept.results):
                if result is not None and result.entry is not None:
                    found[number] = result.entry.sharer
                elif result is not None:
                    found[number] = self._fixed_sharer(number, result.last_size)
        if kept is not None and self.has_unseen:
            found.update((number, None) for number, each in enumerate(self.seen) if each is None)
        found.update((number, entry.sharer) for number, entry in self._entries.items())
        for number, replicas in (*self._unknown.items(), *self.fixed.items()):
            found[number] = self._fixed_sharer(number, replicas)
        return found

    def _fixed_sharer(self, number: int, replicas: int | None) -> Sharer | None:
        if replicas is None:
            return None
        return fixed_sharer(self.terms.numbered[number].pool, self.seen[number], replicas)

    def _moved_in(self, scarcity: Scarcity) -> Iterable[int]:
        """The pools whose size or reason in the division may differ from the previous one."""
        kept, shared = self.kept, self._shared
        if kept is None:
            return ()
        numbers, before = range(len(kept.results)), kept.shared
        if shared is None or before is None:
            return () if shared is before else numbers
        same_rows = scarcity.rows is kept.scarcity.rows
        if shared is before and same_rows:
            return ()
        have, refused = shared.division
        moved = set(compress(numbers, map(ne, have, before.division.have)))
        moved.update(compress(numbers, map(ne, refused, before.division.refused_by)))
        if not same_rows:
            # reasons show the numbers of rows, so those of limited pools may have changed
            moved.update(
                number
                for number, claim in enumerate(shared.claims)
                if claim is not None and have[number] != claim.want
            )
        return moved

    # 4. step: how far pools may grow when physical room is tight

    def grow(self) -> None:
        """How far the growing pools may go. Raises SharingError if an input cannot be used."""
        kept, shared, field = self.kept, self._shared, self.terms.sharing.field
        before = None if kept is None else kept.room
        known = {} if before is None else before.grown
        rows = () if self._scarcity is None else self._scarcity.room
        if shared is None or not rows or isinstance(field, SharingError):
            self._regrown = frozenset(known)
            return
        self._room = room_of(field, rows, shared.uses, self._occupancy(before), before)
        grown = self._room.grown
        if grown is not known:
            self._regrown = frozenset(
                number
                for number in grown.keys() | known.keys()
                if grown.get(number) != known.get(number)
            )

    def _occupancy(self, before: Room | None) -> dict[int, Occupancy | None]:
        """The use of room by the pools that may use another than in `before`; by all without it."""
        kept, found = self.kept, dict[int, Occupancy | None]()
        if kept is not None and before is None:
            for number, result in enumerate(kept.results):
                if result is not None and result.local is not None and result.target is not None:
                    found[number] = occupancy_of(result.local.given, result.target.replicas)
                elif result is not None and (size := result.last_size) is not None:
                    found[number] = Occupancy(size, size, 0)
        if self.has_unseen:
            found.update((number, None) for number, each in enumerate(self.seen) if each is None)
        for number, target in self._targets.items():
            if (one := self._local(number)) is not None:
                found[number] = occupancy_of(one.given, target.replicas)
        for number, replicas in (*self._unknown.items(), *self.fixed.items()):
            found[number] = None if replicas is None else Occupancy(replicas, replicas, 0)
        return found

    def _local(self, number: int) -> LocalPlan | None:
        """Steps 1 and 2 of the pool, of this plan or of the one whose result still holds."""
        one = self.local.get(number)
        if one is None and self.kept is not None and (result := self.kept.results[number]):
            one = result.local
        return one

    def pending(self) -> Iterator[tuple[int, LocalPlan, Target, Grown | None]]:
        """The pools whose target or room may have changed: steps 4 and 5 are computed for them."""
        kept, room = self.kept, self._room
        for number in (*self._targets, *self._regrown.difference(self._targets)):
            one, target = self._local(number), self._targets.get(number)
            if target is None and kept is not None and self._is_decided(number):
                target = None if (result := kept.results[number]) is None else result.target
            if one is not None and target is not None:
                yield number, one, target, None if room is None else room.grown.get(number)

    def decide(  # noqa: PLR0917 - the results of all steps
        self,
        number: int,
        one: LocalPlan,
        target: Target,
        following: Next,
        memory: PoolMemory,
        moment: Moment,
    ) -> None:
        """Take the pool's decision; `memory` is the pool's after all steps."""
        given, demand, limits, current = one.given, one.demand, one.limits, one.given.current
        decision = Decision(
            pool=given.terms.pool.key,
            current=current,
            demand=demand.replicas,
            recommendation=limits.recommendation,
            target=target.replicas,
            next=following.replicas,
            bound=target.bound,
            gate=following.gate,
            wake=current == 0 < following.replicas and demand.active,
            resource_version=given.workload.resource_version,
            reasons=demand.reasons + limits.reasons + target.reasons + following.reasons,
            drain=following.drain,
        )
        memory = after_plan(given, demand, memory, following.replicas, moment.now)
        entry = self._entries.get(number)
        if entry is None and self._is_sharing and self.kept and (kept := self.kept.results[number]):
            entry = kept.entry
        self.results[number] = Result(decision, memory, moment.changes_at, one, entry, target)

    # the plan

    def planned(self) -> Planned:
        """The plan, the memory after it, and what the next plan keeps of it: nothing after a plan
        of some pools without a previous one, and if sharing was not possible.
        """
        terms, kept, pools = self.terms, self.kept, self.terms.numbered
        memories = {
            number: result.memory
            for number, result in self.results.items()
            if result.memory is not None
            and result.memory is not self.memory.pools.get(pools[number].pool.key)
        }
        by_key = {pools[number].pool.key: each for number, each in memories.items()}
        after = fleet_memory(self.memory, by_key, terms.pools, self.now)
        decided = {pools[number].pool.key: each.decision for number, each in self.results.items()}
        if self._scarcity is None or (kept is None and self.is_partial):
            shown = _alerted(terms, decided, cost_alerts(terms.costs, decided))
            return Planned(Plan(at=self.now, decisions=shown), shown, after, None)
        results, times, decisions = self._merged(decided)
        if kept is not None and decisions is kept.decisions:
            alerts, alerted = kept.alerts, kept.alerted
        else:
            alerts = cost_alerts(terms.costs, decisions)
            alerted = _alerted(terms, decisions, alerts)
        changed = {key: alerted[key] for key in decided} if alerts else decided
        if kept is not None and alerts != kept.alerts:
            for alert in {*alerts, *kept.alerts}:
                costly = terms.costs.pools[alert.tenant]
                changed.update((key, alerted[key]) for key in costly if key in alerted)
        keeps = Kept(
            terms=terms,
            intents=self.intents if kept is None or not self.is_partial else kept.intents,
            at=self.now,
            seen=self.seen,
            results=results,
            times=times,
            due=min(times, default=inf) if kept is None or times is not kept.times else kept.due,
            scarcity=self._scarcity,
            shared=self._shared,
            room=self._room,
            memories=after.pools,
            unsettled=(*self.fixed, *self._undecided(self._scarcity), *self._unsettled(memories)),
            decisions=decisions,
            alerts=alerts,
            alerted=alerted,
        )
        plan = Plan(at=self.now, decisions=changed if self.is_partial else alerted)
        return Planned(plan, changed, after, keeps)

    def _unsettled(self, memories: Mapping[int, PoolMemory]) -> Iterator[int]:
        """The pools of which more was remembered than what rule native has learned."""
        for number, after in memories.items():
            before = self.memory.pools.get(self.terms.numbered[number].pool.key)
            if before is None or replace(before, native=after.native) != after:
                yield number

    def _merged(
        self, decided: dict[PoolKey, Decision]
    ) -> tuple[list[Result | None], list[float], dict[PoolKey, Decision]]:
        """The results of all pools, the times at which they become invalid, and all decisions."""
        kept, pools, until = self.kept, self.terms.numbered, self._until
        gone = [] if kept is None or self.is_partial else self._gone(kept)
        if kept is not None and not (until or self.results or gone):
            return kept.results, kept.times, kept.decisions
        nothing: list[Result | None] = [None] * len(pools)
        results = nothing if kept is None else list(kept.results)
        times = [inf] * len(pools) if kept is None else list(kept.times)
        decisions = {} if kept is None else kept.decisions
        for number, result in self.results.items():
            results[number] = result
        for number in {*until, *self.results}:
            if (found := results[number]) is not None:
                times[number] = min(found.changes_at, until.get(number, times[number]))
        if decided or gone:
            decisions = {**decisions, **decided}
        for number in gone:
            results[number], times[number] = None, inf
            decisions.pop(pools[number].pool.key, None)
        return results, times, decisions

    def _gone(self, kept: Kept) -> list[int]:
        """The pools with a kept result that now are not observed, or are being written."""
        gone = list(self.fixed)
        if self.has_unseen:
            gone.extend(number for number, seen in enumerate(self.seen) if seen is None)
        return [number for number in gone if kept.results[number] is not None]

    def _undecided(self, scarcity: Scarcity) -> Iterable[int]:
        """The pools that a plan of some pools did not decide, and that may have changed."""
        if self.kept is None or not self.is_partial:
            return ()
        others = {*self.kept.unsettled, *self._replaced(self.kept), *self._moved, *self._regrown}
        before = self.kept.scarcity
        if scarcity.rows is not before.rows or scarcity.changed_tenants(before) != set():
            others.update(range(len(self.seen)))
        return others.difference(self.results)


def _alerted(
    terms: FleetTerms, decisions: dict[PoolKey, Decision], alerts: Sequence[CostAlert]
) -> dict[PoolKey, Decision]:
    """The decisions with these alerts; the same object without any."""
    if not alerts:
        return decisions
    shown = dict(decisions)
    for alert in alerts:
        for key in terms.costs.pools[alert.tenant]:
            if key in shown:
                shown[key] = with_alert(shown[key], alert)
    return shown
