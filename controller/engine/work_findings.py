"""Work that stands still: budgets that are spent or nearly so, pools that a ceiling keeps below
what their work asks for, and busy replicas that must go and do not finish.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from controller.engine.findings import Found, listed
from controller.engine.fleet_findings import FLEET
from controller.model.decision import CEILINGS, Bound, Decision, Gate
from controller.model.fleet import Fleet, Tenant
from controller.model.ids import PoolKey
from controller.model.observation import TenantObservation
from controller.model.readings import last_known
from controller.model.scarcity import Budget
from controller.model.snapshot import Severity
from controller.planning.explain import duration
from controller.planning.share.rows import TenantScarcity, local_day, with_budget

UNFINISHED: Final = "unfinished"
"""The kind of the finding about busy replicas."""
# how long a task takes where nobody has measured it
_USUAL_SERVICE_S: Final = 60.0
# an operator's pause is meant to stop the work
_TOLD: Final = CEILINGS - {Bound.PAUSE}
_OF_TENANT: Final = frozenset({Bound.BUDGET, Bound.COST, Bound.QUOTA})
_OF_FLEET: Final = frozenset({Bound.CAPACITY, Bound.RATE})


class _Capped(NamedTuple):
    """A pool below its demand: since when (Unix seconds), and the decision that stands."""

    since: float
    decision: Decision


class _Finishing(NamedTuple):
    """A pool that waits for busy replicas to finish: since when (Unix seconds) none has gone, and
    its size meanwhile.
    """

    since: float
    replicas: int | None


class WorkFindings:
    """Remembers since when each pool is held below its demand, or waits for its busy replicas."""

    def __init__(self, fleet: Fleet) -> None:
        self._tenants = {tenant.name: tenant for tenant in fleet.tenants}
        self._tenant_of = {pool.key: pool.tenant for pool in fleet.pools}
        self._sessions_s = {pool.key: pool.session.duration_s for pool in fleet.pools}
        self._capped: dict[PoolKey, _Capped] = {}
        self._finishing: dict[PoolKey, _Finishing] = {}

    def decided(
        self, decisions: Iterable[Decision], now: float, bound_since: float | None = None
    ) -> None:
        """Take the decisions that were made again at `now`. `bound_since` is when their bound
        began, which may be before this process did (both Unix seconds).
        """
        began = now if bound_since is None else min(bound_since, now)
        for decision in decisions:
            known = self._capped.pop(decision.pool, None)
            if _is_capped(decision):
                since = began if known is None else known.since
                self._capped[decision.pool] = _Capped(since, decision)
            waits = self._finishing.pop(decision.pool, None)
            if decision.gate is Gate.BUSY:
                if waits is None or waits.replicas != decision.next:
                    waits = _Finishing(began if waits is None else now, decision.next)
                self._finishing[decision.pool] = waits

    def found(
        self,
        seen: Mapping[str, TenantObservation],
        scarce: Mapping[str, TenantScarcity],
        now: float,
    ) -> Iterator[Found]:
        """The findings as of `now`: one for each budget, one for each ceiling that holds pools for
        longer than their tasks take, and one for each pool whose busy replicas do not finish within
        the longest session. `scarce` has the budgets that operators set.
        """
        held: defaultdict[tuple[str, Bound], list[Decision]] = defaultdict(list)
        for key, (since, decision) in self._capped.items():
            if now - since > service_s(decision):
                held[self._subject(key, decision.bound), decision.bound].append(decision)
        for name, observation in seen.items():
            tenant = self._tenants.get(name)
            if tenant is not None:
                limits = scarce.get(name)
                tenant = with_budget(tenant, None if limits is None else limits.set_by)
                of_budget = held.get((name, Bound.BUDGET), [])
                found = _budget(tenant, observation, of_budget, now)
                if found is not None:
                    held.pop((name, Bound.BUDGET), None)
                    yield found
        for (subject, bound), decisions in held.items():
            yield Severity.WARNING, subject, f"held by {bound}", _held(bound, decisions)
        for key, (since, _) in self._finishing.items():
            longest_s = self._sessions_s.get(key, math.inf)
            if now - since > longest_s:
                yield Severity.WARNING, key, UNFINISHED, _unfinished(longest_s)

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


def _unfinished(longest_s: float) -> str:
    return (
        "the replicas that must go are busy for longer than a session may take"
        f" ({duration(longest_s)}), and none of them goes: look at its pods' logs (l in :pods)"
    )


def _is_capped(decision: Decision) -> bool:
    if decision.target is None or decision.demand is None:
        return False
    return decision.bound in _TOLD and decision.target < decision.demand


def _held(bound: Bound, decisions: list[Decision]) -> str:
    target = sum(decision.target or 0 for decision in decisions)
    demand = sum(decision.demand or 0 for decision in decisions)
    longest = max(service_s(decision) for decision in decisions)
    names = "" if len(decisions) == 1 else f" {listed([each.pool for each in decisions])}:"
    return (
        f"held by {bound} at {target:,} of {demand:,} wanted replicas for longer than a task takes "
        f"({longest:.0f} s);{names} {_ADVICE.get(bound, 'its work waits')}"
    )


_ADVICE: Final[Mapping[Bound, str]] = {
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
    if budget.tokens_per_day is None or usage is None:
        return None
    gone = Fraction(usage.used) + Fraction(usage.reserved)
    if gone < Fraction(budget.warn) * budget.tokens_per_day:
        return None
    stops = "" if not held else f"; it holds {listed([each.pool for each in held])}"
    reset = local_day(now, ZoneInfo(tenant.timezone)).end
    until = f"{datetime.fromtimestamp(reset, UTC):%H:%M}Z"
    if gone >= budget.tokens_per_day:
        severity = Severity.CRITICAL if budget.hard else Severity.WARNING
        effect = "its pools stop" if budget.hard else "its pools go on"
        spent = f"the day's {budget.tokens_per_day:,} tokens are spent"
        return severity, tenant.name, "budget", f"{spent}: {effect} until {until}{stops}"
    return Severity.WARNING, tenant.name, "budget", _nearly(budget, gone, until) + stops


def _nearly(budget: Budget, gone: Fraction, until: str) -> str:
    tokens = budget.tokens_per_day or 1
    end = "its pools stop" if budget.hard else "they are only slowed"
    percent = int(gone * 100 / tokens)
    used = f"{percent} % of the day's {tokens:,} tokens are used or reserved"
    return f"{used}; at 100 % {end}, until {until}"
