"""When a pool's number changes next if nothing new happens: the same plan, made at the times at
which a rule gives another answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import inf, nextafter
from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Decision
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, TenantObservation, TokenUsage
from controller.model.readings import Fresh
from controller.model.value import Value
from controller.planning.compile import FleetTerms, compile_fleet
from controller.planning.planner import Planned, plan
from controller.planning.share.calendar import local_day

MOST_STEPS: Final = 8
"""So many times are tried: each costs a plan of the fleet."""


class NextChange(Value):
    """The next size (replicas) of a pool, and when it comes (Unix seconds) if no reading and no
    intent changes until then. `ends` is the rule that holds it until then, None where that is not
    one rule with a time.
    """

    at: float
    before: int
    after: int
    ends: Code | None = None


def next_change(
    pool: Pool,
    *,
    observation: Observation,
    fleet: Fleet,
    intents: Intents,
    memory: Memory,
    now: float,
) -> NextChange | None:
    """The next change of a pool that stays as it is now; None for one that changes now, cannot be
    known, or does not change at any of the next times.

    The keyword arguments are the inputs of a plan; `now` in Unix seconds.
    """
    terms = compile_fleet(fleet)
    planned = plan(observation, terms, intents, memory, now)
    held = planned.plan.decisions.get(pool.key)
    if held is None or held.next is None or held.next != held.current:
        return None
    observation = replace(observation, clock_step_s=0.0)  # the clock has made its step by now
    for _ in range(MOST_STEPS):
        at = _changes_at(planned, terms, pool)
        if at == inf:
            break
        planned = plan(observation, terms, intents, planned.memory, at)
        found = _changed(planned, held, at)
        if found is not None:
            return found
    return _after_an_end(held, pool.tenant, observation, terms, intents, memory, now)


def _changes_at(planned: Planned, terms: FleetTerms, pool: Pool) -> float:
    """When one of the pool's rules, or a limit of its tenant, gives another answer."""
    kept = planned.kept
    if kept is None:  # not all pools were observed: then only the reasons say when they end
        return min(_ends_of_reasons(planned, pool.key), default=inf)
    limits = kept.scarcity.tenants.get(pool.tenant)
    number = terms.sharing.number_of[pool.key]
    return min(kept.times[number], inf if limits is None else limits.changes_at)


def _ends_of_reasons(planned: Planned, key: PoolKey) -> Iterator[float]:
    decision = planned.plan.decisions.get(key)
    for reason in () if decision is None else decision.reasons:
        until = reason.numbers.get("until")
        if isinstance(until, float) and until >= planned.plan.at:
            yield nextafter(until, inf)


def _changed(planned: Planned, held: Decision, at: float) -> NextChange | None:
    other = planned.plan.decisions.get(held.pool)
    if held.next is None or other is None or other.next is None or other.next == held.next:
        return None
    return NextChange(at=at, before=held.next, after=other.next, ends=_ends(held, other))


def _ends(held: Decision, other: Decision) -> Code | None:
    """The last rule with an end that no longer holds."""
    left = {reason.code for reason in other.reasons}
    gone = [reason for reason in held.reasons if reason.code not in left]
    timed = [reason for reason in gone if "until" in reason.numbers]
    last = next(reversed(timed or gone), None)
    return None if last is None else last.code


def _after_an_end(  # noqa: PLR0917 - what a plan is a function of
    held: Decision,
    tenant: str,
    observation: Observation,
    terms: FleetTerms,
    intents: Intents,
    memory: Memory,
    now: float,
) -> NextChange | None:
    """The change when an intent ends or the tenant's day does, which may be hours away: with the
    day its tokens begin anew.
    """
    day_ends = local_day(now, terms.pools[held.pool].zone).end
    for at in sorted({day_ends, *_ends_of_intents(intents, now)}):
        later = nextafter(at, inf)
        seen = _new_day(observation, tenant, later) if at >= day_ends else observation
        found = _changed(plan(seen, terms, intents, memory, later), held, at)
        if found is not None:
            return found
    return None


def _ends_of_intents(intents: Intents, now: float) -> Iterator[float]:
    for intent in intents:
        if intent.until is not None and intent.until > now:
            yield intent.until


def _new_day(observation: Observation, tenant: str, at: float) -> Observation:
    seen = observation.tenants.get(tenant, TenantObservation())
    usage = Fresh(value=TokenUsage(used=Decimal(0)), at=at)
    return replace(observation, tenants={**observation.tenants, tenant: replace(seen, usage=usage)})
