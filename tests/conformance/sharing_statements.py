"""Cases of sharing, stated as fleets: rows are capacity, node classes, quotas and models' limits;
demand is messages, pins and held pools are intents, targets are pauses that keep so many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Any, Final

from msgspec.structs import replace

from conformance.sharing_inputs import (
    Given,
    Sharing,
    budgeted_of,
    demand_of,
    rated_of,
    sharing_of,
    steps_of,
)
from conformance.statement import (
    MAX_REPLICAS,
    NOW,
    Answer,
    Inputs,
    NotStatable,
    Outcome,
    Stated,
    Statement,
    fleet_file,
    observed_for_long,
    one_pool,
    pool_entry,
    seen,
)
from controller.model.decision import Code, Gate
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Scope
from controller.model.memory import BINS, ArrivalRate, Memory, NativeMemory, NativeState, PoolMemory
from controller.model.observation import (
    ClusterRoom,
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Fresh
from controller.model.scarcity import Resources
from controller.planning.demand.native import spares_for_arrivals
from controller.planning.limit import SLACK
from reference.sharing import SharingPolicy
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.sharing import HALF_FED, Claim

POLICY: Final = (
    "agentdash gives each tenant one replica first, counts whole shares, and reserves none"
)
A_ROW: Final = "one of its rows is no capacity, class of nodes, quota or rate limit of a fleet file"
A_CLASS: Final = "a class of nodes is drawn on by whole replicas"
SOFT: Final = "a rate limit grants the last replica half of its use, no other part"
SEVERAL_MODELS: Final = "a pool uses one model"
NOT_WHOLE: Final = "an amount is not a whole number of the units that a cluster counts in"
SPARES: Final = "no rate of arrivals asks for so many spares now and at a rate near it"
MAX_UP: Final = "there is no limit on how many replicas are added at a time but `behavior`"
FORMULA: Final = "rule native learns arrivals and task times; it has no such formula"
A_BUFFER: Final = "there are no spares in percent of the size to come"
A_BURST: Final = "the fleet file has no burst above a budget's pace"
A_DAY: Final = "a budget's period is a day of the tenant's clock, in whole minutes"
A_RATE: Final = "the fleet file counts calls and tokens of a task in whole numbers"
LARGE: Final = "it takes more replicas than a fleet file can allow"

_PLACES: Final = "slots"
_MIDNIGHT: Final = datetime(2026, 3, 3, tzinfo=UTC).timestamp()


def _key(claim: Claim) -> PoolKey:
    return pool_key(_named(claim.tenant), _named(claim.pool))


def _named(name: str) -> str:
    """The name as a DNS label; names decide only among equals, where their order is kept."""
    return "n" + name.lower().replace("_", "-")


def _whole(amounts: Sequence[Any]) -> int:
    """The smallest factor that makes all of them whole."""
    return lcm(*(Fraction(amount).denominator for amount in amounts)) if amounts else 1


def _weights(weights: Mapping[str, Any]) -> dict[str, str]:
    """The same shares in whole numbers."""
    factor = _whole(list(weights.values()))
    return {name: str(int(Fraction(weight) * factor)) for name, weight in weights.items()}


# allocate


def _allocate(inputs: Inputs) -> Stated:
    sharing = sharing_of(inputs)
    if sharing.allocated(sharing.policy) != sharing.allocated(SharingPolicy()):
        raise NotStatable(POLICY)
    rows = _Rows(sharing)
    tiers = {f"t{claim.tier}".replace("-", "m"): claim.tier for claim in sharing.claims}
    owners = {claim.tenant: claim.tier for claim in sharing.claims}
    tenant_weights = _weights({name: sharing.weights.get(name, 1) for name in owners})
    tenants = {
        _named(name): {
            "tier": f"t{tier}".replace("-", "m"),
            "weight": tenant_weights[name],
            **rows.quota_of(name),
        }
        for name, tier in owners.items()
    }
    for claim in sharing.claims:
        if owners[claim.tenant] != claim.tier:
            raise NotStatable("the pools of one tenant have one tier")
    pool_weights: dict[str, str] = {}
    for owner in owners:
        own = {claim.pool: claim.weight for claim in sharing.claims if claim.tenant == owner}
        pool_weights |= _weights(own)
    entries = [_pool_of(claim, pool_weights[claim.pool], rows) for claim in sharing.claims]
    fleet = fleet_file(
        entries,
        tenants=tenants,
        tiers={name: {"priority": priority} for name, priority in tiers.items()},
        models=rows.models or None,
        capacity=rows.capacity or None,
    )
    observation = Observation(
        pools={_key(claim): _seen_of(claim, rows) for claim in sharing.claims},
        capacity=Fresh(value=ClusterRoom(classes=rows.classes), at=NOW),
    )
    intents = intents_of(
        pins=tuple(
            a_pin(pool=_key(claim), replicas=claim.pin) for claim in sharing.claims if claim.pin
        ),
        freezes=tuple(
            a_freeze(scope=Scope(pool=_key(claim))) for claim in sharing.claims if claim.fixed
        ),
    )
    memory = Memory(
        pools={_key(claim): _memory_of(claim) for claim in sharing.claims}, planned_at=NOW
    )
    return Stated(fleet, observation, intents, memory)


class _Rows:
    """The rows of a case as a fleet has them."""

    def __init__(self, sharing: Sharing) -> None:
        self.capacity: dict[str, Any] = {}
        self.classes: dict[str, Resources] = {}
        self.models: dict[str, Any] = {}
        self._quotas: dict[str, int] = {}
        self._scale: dict[str, int] = {}
        self._claims = sharing.claims
        for row in sharing.rows:
            users = [claim for claim in sharing.claims if claim.uses.get(row.name)]
            flavors = {
                use
                for claim in sharing.claims
                for flavor in claim.flavors
                for name, use in flavor.items()
                if name == row.name
            }
            uses = [claim.uses[row.name] for claim in users]
            if row.soft is not None:
                if row.soft != HALF_FED:
                    raise NotStatable(SOFT)
                self._rate_limit(row.name, row.capacity)
            elif flavors or (not users and row.name not in {_PLACES, "cpu", "memory"}):
                if users or flavors - {1}:
                    raise NotStatable(A_CLASS)
                self._class(row.name, row.capacity)
            elif row.name == _PLACES:
                self.capacity["replicas"] = self._places(row.capacity)
            elif row.name in {"cpu", "memory"} and row.fair:
                self._room(row.name, row.capacity, uses)
            elif len({claim.tenant for claim in users}) == 1 and set(uses) == {1}:
                self._quota(users[0].tenant, row.capacity)
            else:
                raise NotStatable(A_ROW)
        if self.classes:
            self.capacity["node_classes"] = {
                name: {"selector": f"class={name}"} for name in self.classes
            }

    def _places(self, capacity: Any) -> int:
        places = Fraction(capacity).__floor__()
        if places > MAX_REPLICAS:
            raise NotStatable(LARGE)
        return places

    def _class(self, name: str, capacity: Any) -> None:
        self.classes[_named(name)] = Resources(replicas=Fraction(capacity).__floor__())

    def _quota(self, tenant: str, capacity: Any) -> None:
        if tenant in self._quotas:
            raise NotStatable(A_ROW)
        self._quotas[tenant] = self._places(capacity)

    def _room(self, name: str, capacity: Any, uses: Sequence[Any]) -> None:
        """CPU in thousandths, memory in bytes, in a unit in which all uses are whole."""
        unit = _whole([capacity, *uses]) * (1000 if name == "cpu" else 1)
        self._scale[name] = unit
        amount = int(Fraction(capacity) * unit)
        self.capacity[name] = f"{amount}m" if name == "cpu" else str(amount)

    def _rate_limit(self, name: str, capacity: Any) -> None:
        if Fraction(capacity).denominator != 1:
            raise NotStatable(NOT_WHOLE)
        self.models[_named(name.replace(":", "-"))] = {
            "limits": {"requests_per_minute": int(capacity)}
        }

    def quota_of(self, tenant: str) -> dict[str, Any]:
        found = self._quotas.get(tenant)
        return {} if found is None else {"quota": {"replicas": found}}

    def model_of(self, claim: Claim) -> dict[str, Any]:
        """The model that a pool uses, and how many calls one of its replicas makes per minute."""
        names = [name for name in claim.uses if _named(name.replace(":", "-")) in self.models]
        if not names:
            return {}
        if len(names) > 1:
            raise NotStatable(SEVERAL_MODELS)
        calls = Fraction(claim.uses[names[0]])
        usage = {"calls": calls.numerator, "seconds": 60 * calls.denominator}
        return {"model": _named(names[0].replace(":", "-")), "usage": usage}

    def requests_of(self, claim: Claim) -> Resources:
        cpu, memory = (
            None if name not in claim.uses else int(Fraction(claim.uses[name]) * self._scale[name])
            for name in ("cpu", "memory")
        )
        return Resources(cpu_milli=cpu, memory_bytes=memory)


def _pool_of(claim: Claim, weight: str, rows: _Rows) -> dict[str, Any]:
    """A pool of the fleet file. A ceiling below min lowers min: ceilings win."""
    most = min([MAX_REPLICAS, *(ceiling.limit for ceiling in claim.ceilings)])
    if max(claim.min + claim.pin, min(claim.demand, most)) > MAX_REPLICAS:
        raise NotStatable(LARGE)
    if claim.demand > MAX_REPLICAS and not claim.ceilings:
        _must_not_reach(claim, rows)
    slo = None if not claim.warm else str(_arrivals_for(claim.warm)[1])
    return pool_entry(
        _named(claim.pool),
        _named(claim.tenant),
        replicas={"min": min(claim.min, most), "max": most},
        weight=weight,
        nodes=[_named(name) for flavor in claim.flavors for name in flavor] or None,
        warm=None if slo is None else {"slo": slo},
        cooldown=0,
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
        **rows.model_of(claim),
    )


def _must_not_reach(claim: Claim, rows: _Rows) -> None:
    """A demand beyond the largest max is stated where the capacity stops it before."""
    places = rows.capacity.get("replicas")
    if places is None or places > MAX_REPLICAS:
        raise NotStatable(LARGE)


def _seen_of(claim: Claim, rows: _Rows) -> PoolObservation:
    queue = Fresh(value=QueueDepth(pending=claim.demand, in_flight=0), at=NOW)
    observation = seen(claim.current, queue=queue)
    workload = Workload(
        replicas=claim.current, current=claim.current, requests=rows.requests_of(claim)
    )
    return replace(observation, workload=Fresh(value=workload, at=NOW))


def _memory_of(claim: Claim) -> PoolMemory:
    """The plan itself scaled an empty pool to zero, so its min applies."""
    native = None
    if claim.warm:
        native = _arriving(_arrivals_for(claim.warm)[0])
    return observed_for_long(own_zero=claim.current == 0, native=native)


READY_S: Final = 10.0


def _arriving(arrivals: Decimal, ready_s: float = READY_S) -> NativeMemory:
    """A past with so many arrivals during one time to ready."""
    rate_per_s = float(arrivals) / ready_s
    learned = NativeState(
        at=NOW,
        arrivals=0,
        completions=0,
        moves=(0.0,) * BINS,
        rate=ArrivalRate(fast=rate_per_s, slow=rate_per_s),
    )
    return NativeMemory(learned=learned, asked_at=NOW, pending=0, delivered=0, ready_s=ready_s)


def _arrivals_for(spares: int) -> tuple[Decimal, Decimal]:
    """Arrivals and a service level that ask for so many spares, also at a rate near it."""
    for slo in map(Decimal, ("0.5", "0.9", "0.99", "0.999", "0.9999")):
        for tenths in range(1, 400):
            arrivals = Decimal(tenths) / 10
            asked = {
                spares_for_arrivals(float(arrivals * factor), float(slo))
                for factor in (1, Decimal(str(SLACK)))
            }
            if asked == {spares}:
                return arrivals, slo
    raise NotStatable(SPARES)


def _read_allocation(inputs: Inputs, outcome: Outcome) -> Answer:
    return {
        "alloc": {
            claim.pool: outcome.decisions[_key(claim)].target for claim in sharing_of(inputs).claims
        }
    }


# step

_LEAVING: Final = "leaving"


def _step(inputs: Inputs) -> Stated:
    """Each pool is paused and keeps its target. A pool beside them that leaves takes the room that
    the targets have beyond the places of the case.
    """
    steps = steps_of(inputs)
    positions, room = steps.positions, steps.room
    spare = max(sum(max(one.target, 0) for one in positions) - room, 0)
    tenant_weights = _weights({one.tenant: steps.weights.get(one.tenant, 1) for one in positions})
    pool_weights = _weights({one.pool: one.weight for one in positions})
    tiers = {one.tenant: one.tier for one in positions} | {_LEAVING: 0}
    entries = [
        pool_entry(
            _named(one.pool),
            _named(one.tenant),
            replicas={"min": 0, "max": MAX_REPLICAS},
            weight=pool_weights[one.pool],
            cooldown=0,
            minimum_runtime=60 if one.too_young else 0,
            behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
        )
        for one in positions
    ]
    entries.append(
        pool_entry(
            _named(_LEAVING), _named(_LEAVING), replicas={"min": 0, "max": MAX_REPLICAS}, cooldown=0
        )
    )
    fleet = fleet_file(
        entries,
        tenants={
            _named(name): {
                "tier": f"t{tier}".replace("-", "m"),
                "weight": tenant_weights.get(name, "1"),
            }
            for name, tier in tiers.items()
        },
        tiers={f"t{tier}".replace("-", "m"): {"priority": tier} for tier in tiers.values()},
        capacity={"replicas": room + spare},
    )
    pools, pauses = {}, []
    for one in positions:
        key = pool_key(_named(one.tenant), _named(one.pool))
        young = tuple(
            Pod(name=str(number), phase=PodPhase.READY, ready_at=NOW)
            for number in range(one.too_young)
        )
        pods = Pods(ready=one.current, terminating=one.terminating, items=young)
        # work for more than there are, so that the pause alone takes replicas away
        pending = max(one.current + one.target - one.busy, 0) + 1
        depth = QueueDepth(pending=pending, in_flight=one.busy)
        pools[key] = seen(
            one.current, queue=Fresh(value=depth, at=NOW), pods=Fresh(value=pods, at=NOW)
        )
        pauses.append(a_pause(scope=Scope(pool=key), keep=one.target))
    leaving = pool_key(_named(_LEAVING), _named(_LEAVING))
    pools[leaving] = seen(spare)
    return Stated(
        fleet,
        Observation(pools=pools),
        intents_of(pauses=tuple(pauses)),
        Memory(pools=dict.fromkeys(pools, observed_for_long()), planned_at=NOW),
        unless="" if all(one.max_up is None for one in positions) else MAX_UP,
    )


def _read_step(inputs: Inputs, outcome: Outcome) -> Answer:
    found = {}
    for one in steps_of(inputs).positions:
        decision = outcome.decisions[pool_key(_named(one.tenant), _named(one.pool))]
        following = one.current if decision.next is None else decision.next
        drained = decision.gate is Gate.BUSY
        found[one.pool] = {
            "next": following,
            "add": max(following - one.current, 0),
            "remove": max(one.current - following, 0),
            "drain": following - one.target if drained else 0,
        }
    return {"pools": found}


# demand


def _demand(inputs: Inputs) -> Stated:
    work, previous, _ = demand_of(inputs)
    if work.service_s is not None:
        raise NotStatable(FORMULA)
    fleet = fleet_file(
        [
            pool_entry(
                replicas={"min": 0, "max": MAX_REPLICAS},
                slots=work.slots,
                target=work.target,
            )
        ]
    )
    depth = QueueDepth(pending=work.pending, in_flight=work.in_flight)
    observation = seen(previous or 0, queue=Fresh(value=depth, at=NOW))
    stated = one_pool(fleet, observation, observed_for_long())
    return stated._replace(unless="" if previous is None else FORMULA)


def _read_demand(_: Inputs, outcome: Outcome) -> Answer:
    return {"demand": outcome.decision.demand}


# rate limits


def _rate_cap(inputs: Inputs) -> Stated:
    limit, replica, theta = rated_of(inputs)
    if theta != HALF_FED:
        raise NotStatable(SOFT)
    drawn = [replica.calls, replica.input_tokens, replica.output_tokens]
    per_task = [Fraction(each) / (60 * replica.slots) for each in drawn]
    seconds = _whole(per_task)
    calls, input_tokens, output_tokens = (int(each * seconds) for each in per_task)
    limits = {
        "requests_per_minute": limit.requests_per_minute,
        "input_tokens_per_minute": limit.input_tokens_per_minute,
        "output_tokens_per_minute": limit.output_tokens_per_minute,
        "parallel": limit.parallel,
        "headroom": None if not limit.headroom else _decimal(limit.headroom),
    }
    for name, amount in limits.items():
        if name != "headroom" and amount is not None and Fraction(amount).denominator != 1:
            raise NotStatable(A_RATE)
    known = {name: value for name, value in limits.items() if value is not None}
    fleet = fleet_file(
        [
            pool_entry(
                replicas={"min": 0, "max": MAX_REPLICAS},
                slots=replica.slots,
                target=1,
                model="fast",
                usage={
                    "calls": calls,
                    "input_tokens": input_tokens,
                    "output_tokens": output_tokens,
                    "seconds": seconds,
                },
            )
        ],
        models={"fast": {"limits": known} if known else {}},
    )
    depth = QueueDepth(pending=MAX_REPLICAS, in_flight=0)
    return one_pool(fleet, seen(0, queue=Fresh(value=depth, at=NOW)), observed_for_long())


def _decimal(number: Any) -> str:
    fraction = Fraction(number)
    written = Decimal(fraction.numerator) / Decimal(fraction.denominator)
    if Fraction(written) != fraction:
        raise NotStatable(NOT_WHOLE)
    return str(written)


def _read_rate_cap(_: Inputs, outcome: Outcome) -> Answer:
    shown = outcome.numbers(Code.RATE, Code.BASELINE)
    if shown is None:
        return {"cap": None, "by": None}
    return {"cap": outcome.decision.target, "by": str(shown["row"]).partition(":")[0]}


# budgets


def _budget(inputs: Inputs) -> Stated:
    budget, use, burn = budgeted_of(inputs)
    if budget.burst != 1:
        raise NotStatable(A_BURST)
    minutes = Fraction(use.minutes_to_reset)
    if use.period_minutes != 1440 or minutes.denominator != 1 or not 0 < minutes <= 1440:
        raise NotStatable(A_DAY)
    per_task = None
    if burn:
        seconds = _whole([Fraction(burn) / 60])
        per_task = {"input_tokens": int(Fraction(burn) * seconds / 60), "seconds": seconds}
    fleet = fleet_file(
        [pool_entry(replicas={"min": 0, "max": MAX_REPLICAS}, usage=per_task)],
        tenants={
            "acme": {
                "tier": "growth",
                "budget": {
                    "tokens_per_day": int(budget.tokens_per_day or 0),
                    "warn": _decimal(budget.warn),
                    "hard": budget.hard,
                    "pacing": budget.pacing.value,
                },
            }
        },
    )
    now = _MIDNIGHT + 86_400 - 60 * int(minutes)
    usage = TokenUsage(
        used=Decimal(_decimal(use.used)),
        reserved=Decimal(_decimal(use.reserved)),
        burn_per_minute=Decimal(_decimal(use.burn_per_minute)),
    )
    [pool] = fleet.pools
    depth = QueueDepth(pending=MAX_REPLICAS, in_flight=0)
    return Stated(
        fleet,
        Observation(
            pools={pool.key: seen(0, queue=Fresh(value=depth, at=now), now=now)},
            tenants={"acme": TenantObservation(usage=Fresh(value=usage, at=now))},
        ),
        memory=Memory(pools={pool.key: observed_for_long()}, planned_at=now),
        now=now,
    )


def _read_budget(_: Inputs, outcome: Outcome) -> Answer:
    """What the pool may have. Where nothing holds it back, no reason says how the budget stands."""
    shown, target = outcome.numbers(Code.BUDGET), outcome.decision.target
    if Code.BUDGET_SPENT in outcome.codes:
        return {"cap": 0, "state": "hard"}
    if shown is None:
        return {"cap": None}
    return {"cap": target, "before_reset": "early_s" in shown}


# spares


def _warm(inputs: Inputs) -> Stated:
    given = Given(inputs)
    if "allocated" in given:
        if given.take("buffer_percent") is not None:
            raise NotStatable(A_BUFFER)
        allocated, spares = given.take("allocated"), given.take("buffer", default=0)
        given.finish()
        entry = pool_entry(replicas={"min": 0, "max": MAX_REPLICAS}, warm={"replicas": spares})
        depth = QueueDepth(pending=allocated, in_flight=0)
        observation = seen(0, queue=Fresh(value=depth, at=NOW))
        return one_pool(fleet_file([entry]), observation, observed_for_long())
    rate = Fraction(given.number("rate_per_s"))
    ready_s = given.number("tick_s", "notice_s") + given.number("cold_start_s", "ready_s")
    slo = given.number("slo", default=Fraction(99, 100))
    given.finish()
    # agentdash notices a message at once: the whole time is that to ready
    arrivals = Decimal(_decimal(rate * ready_s))
    entry = pool_entry(
        replicas={"min": 0, "max": MAX_REPLICAS},
        warm={"slo": _decimal(slo)},
    )
    memory = observed_for_long(native=_arriving(arrivals, float(ready_s) or 1.0))
    return one_pool(fleet_file([entry]), seen(0), memory)


def _read_warm(inputs: Inputs, outcome: Outcome) -> Answer:
    name = "replicas" if "allocated" in inputs else "spares"
    return {name: outcome.decision.target}


SHARING_STATEMENTS: Mapping[str, Statement] = {
    "allocate": Statement(_allocate, _read_allocation),
    "step": Statement(_step, _read_step),
    "demand": Statement(_demand, _read_demand),
    "rate_cap": Statement(_rate_cap, _read_rate_cap),
    "budget": Statement(_budget, _read_budget),
    "warm": Statement(_warm, _read_warm),
}
