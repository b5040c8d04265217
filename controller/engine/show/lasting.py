"""Since when findings, conditions of pools, budgets and pauses are as they are; and the findings
about what lasts: budgets that near their end, limits that hold work for longer than a task takes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from controller.engine.show.findings import FLEET, Found, found, listed
from controller.model.decision import CEILINGS, Bound, Code, Decision, Gate
from controller.model.fleet import Fleet, Tenant
from controller.model.ids import PoolKey
from controller.model.observation import TenantObservation
from controller.model.readings import last_known
from controller.model.snapshot import Severity
from controller.planning.explain import duration
from controller.planning.share.rows import TenantScarcity, local_day, with_budget

LEFT_FOR_S: Final = 120.0
"""After a restart, what is so again within this time goes on."""


class Since:
    """A thing keeps its time (Unix seconds) while its state is the same, over restarts."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[object, float]] = {}
        self._left: dict[Hashable, tuple[object, float]] = {}
        self._left_until = 0.0

    def begin_with(self, left: Iterable[tuple[Hashable, object, float | None]], now: float) -> None:
        """Go on from things, states and times that another process left, none after `now`."""
        known = {thing: (state, at) for thing, state, at in left if at is not None and at <= now}
        self._left |= known
        self._left_until = now + LEFT_FOR_S

    def of(self, thing: Hashable, state: object, now: float, *, is_sure: bool = True) -> float:
        """When this state began; `now` if it is new. One that is not `is_sure` may come from a new
        process's first readings: after it, the earlier one's still counts.
        """
        if now > self._left_until:
            self._left.clear()
        known, left, since = self._known.get(thing), self._left.get(thing), now
        if known is not None and known[0] == state:
            since = known[1]
        if left is not None and left[0] == state:
            since = min(since, left[1])
        elif is_sure:
            self._left.pop(thing, None)
        self._known[thing] = state, since
        return since

    def forget_all_but(self, things: Iterable[Hashable]) -> None:
        """Only these are there now."""
        self._known = {thing: self._known[thing] for thing in things}

    def shift(self, step_s: float) -> None:
        """The clock was set by so much: ages stay what they were."""
        for times in (self._known, self._left):
            times.update({thing: (state, at + step_s) for thing, (state, at) in times.items()})
        self._left_until += step_s


# how long a task takes where nobody has measured it
_USUAL_SERVICE_S: Final = 60.0
# an operator's pause is meant to stop the work
_TOLD: Final = CEILINGS - {Bound.PAUSE}
# these hold the size, whatever the ceiling is
_HELD_ANYWAY: Final = frozenset({Code.FROZEN, Code.OTHER_AUTOSCALER, Code.CONTESTED, Code.SET_BACK})
_OF_TENANT: Final = frozenset({Bound.BUDGET, Bound.COST, Bound.QUOTA})
_OF_FLEET: Final = frozenset({Bound.CAPACITY, Bound.RATE})


class WorkFindings:
    """Remembers since when (Unix seconds) each pool is held below its demand, with its decision, or
    none of its busy replicas has gone, with its size meanwhile.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._tenants = {tenant.name: tenant for tenant in fleet.tenants}
        self._tenant_of = {pool.key: pool.tenant for pool in fleet.pools}
        self._sessions_s = {pool.key: pool.session.duration_s for pool in fleet.pools}
        self._capped: dict[PoolKey, tuple[float, Decision]] = {}
        self._finishing: dict[PoolKey, tuple[float, int | None]] = {}

    def decided(
        self, decisions: Iterable[Decision], now: float, bound_since: float | None = None
    ) -> None:
        """Take new decisions; their bound began at `bound_since`, perhaps before this process."""
        began = now if bound_since is None else min(bound_since, now)
        for decision in decisions:
            known = self._capped.pop(decision.pool, None)
            if _is_capped(decision):
                self._capped[decision.pool] = began if known is None else known[0], decision
            waits = self._finishing.pop(decision.pool, None)
            if decision.gate is Gate.BUSY:
                if waits is None or waits[1] != decision.next:
                    waits = (began if waits is None else now), decision.next
                self._finishing[decision.pool] = waits

    def found(
        self,
        seen: Mapping[str, TenantObservation],
        scarce: Mapping[str, TenantScarcity],
        now: float,
    ) -> Iterator[Found]:
        """Budgets spent, ceilings that hold pools longer than a task takes, busy replicas that
        outlast a session. `scarce` has operators' budgets.
        """
        held: defaultdict[tuple[str, Bound], list[Decision]] = defaultdict(list)
        for key, (since, decision) in self._capped.items():
            if now - since > service_s(decision):
                held[self._subject(key, decision.bound), decision.bound].append(decision)
        for name, observation in seen.items():
            if (tenant := self._tenants.get(name)) is None:
                continue
            limits = scarce.get(name)
            tenant = with_budget(tenant, None if limits is None else limits.set_by)
            of_budget = held.get((name, Bound.BUDGET), [])
            if (spent := _budget(tenant, observation, of_budget, now)) is not None:
                held.pop((name, Bound.BUDGET), None)
                yield spent
        for (subject, bound), decisions in held.items():
            yield _held(subject, bound, decisions)
        for key, (since, _) in self._finishing.items():
            longest_s = self._sessions_s.get(key, math.inf)
            if now - since > longest_s:
                yield found("unfinished", key, longest=duration(longest_s))

    def _subject(self, key: PoolKey, bound: Bound) -> str:
        if bound in _OF_TENANT:
            return self._tenant_of.get(key, key)
        return FLEET if bound in _OF_FLEET else key


def service_s(decision: Decision) -> float:
    """How long one of its tasks takes, in seconds, as far as the decision knows it."""
    for reason in decision.reasons:
        measured = reason.numbers.get("service_s")
        if isinstance(measured, int | float):
            return float(measured)
    return _USUAL_SERVICE_S


def _is_capped(decision: Decision) -> bool:
    """Whether a ceiling, and nothing else, keeps it below its demand."""
    if decision.target is None or decision.demand is None or decision.bound not in _TOLD:
        return False
    if any(reason.code in _HELD_ANYWAY for reason in decision.reasons):
        return False
    return decision.target < decision.demand


def _held(subject: str, bound: Bound, decisions: list[Decision]) -> Found:
    names = "" if len(decisions) == 1 else f" {listed([each.pool for each in decisions])}:"
    return found(
        "held by",
        subject,
        kind=f"held by {bound}",
        bound=bound,
        target=sum(decision.target or 0 for decision in decisions),
        demand=sum(decision.demand or 0 for decision in decisions),
        longest=max(service_s(decision) for decision in decisions),
        names=names,
        advice=_BOUND_ADVICE.get(bound, "its work waits"),
    )


_BOUND_ADVICE: Final[Mapping[Bound, str]] = {
    Bound.MAX: "raise replicas.max, or let the work wait",
    Bound.SCHEDULE: "its schedule allows no more now",
    Bound.QUOTA: "the tenant's quota is full",
    Bound.COST: "the limit in USD per hour is reached",
    Bound.CAPACITY: "the nodes have no room",
    Bound.RATE: "the model's rate limit feeds no more",
}


def _budget(
    tenant: Tenant, seen: TenantObservation, held: list[Decision], now: float
) -> Found | None:
    budget, usage = tenant.budget, last_known(seen.usage)
    tokens = budget.tokens_per_day
    if tokens is None or usage is None:
        return None
    gone = Fraction(usage.used) + Fraction(usage.reserved)
    if gone < Fraction(budget.warn) * tokens:
        return None
    severity = Severity.CRITICAL if gone >= tokens and budget.hard else Severity.WARNING
    if gone >= tokens:
        effect = "its pools stop" if budget.hard else "its pools go on"
        state = f"the day's {tokens:,} tokens are spent: {effect}"
    else:
        effect = "its pools stop" if budget.hard else "they are only slowed"
        percent = int(gone * 100 / (tokens or 1))
        used = f"{percent} % of the day's {tokens:,} tokens are used or reserved"
        state = f"{used}; at 100 % {effect},"
    reset = local_day(now, ZoneInfo(tenant.timezone)).end
    return found(
        "budget",
        tenant.name,
        severity=severity,
        state=state,
        until=f"{datetime.fromtimestamp(reset, UTC):%H:%M}Z",
        stops="" if not held else f"; it holds {listed([each.pool for each in held])}",
    )
