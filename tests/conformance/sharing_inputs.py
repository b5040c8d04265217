"""Cases of sharing: their inputs as values. A key that is not read is an error, so that nothing
that a case says is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

from conformance.statement import EXPECTED
from controller.model.scarcity import Budget, Pacing
from controller.model.value import Value
from reference.sharing import Oracle, SharingPolicy
from support.sharing import Amount, Ceiling, Claim, Row, allocate

FAIR = {"slots", "cpu", "memory"}
UNLIMITED = 10**9
PACING = {"hard_only": "never", "pace": "on_warning", "pace_always": "always"}


class Position(NamedTuple):
    """A pool on its way: `busy` of its replicas work, `terminating` ones still take room beside
    `current`, `too_young` idle ones are not taken back yet. It adds at most `max_up` at a time.
    """

    pool: str
    tenant: str
    current: int
    target: int
    busy: int = 0
    terminating: int = 0
    too_young: int = 0
    max_up: int | None = None
    tier: int = 0
    weight: Amount = 1


class MeasuredWork(Value):
    """Work as it is measured: arrivals per second now and as forecast, seconds of a task (None if
    not known), messages waiting and in flight.

    A replica has `slots`, of which the part `occupancy` may be busy. `drain_s` is the time to
    ready: a backlog that is gone by then asks for no new replica.
    """

    rate_per_s: Amount = 0
    forecast_per_s: Amount = 0
    service_s: Amount | None = None
    pending: int = 0
    in_flight: int = 0
    slots: int = 1
    occupancy: Amount = 1
    drain_s: Amount = 9
    target: int | None = None


class RateLimit(Value):
    """What a provider allows one key: calls and tokens per minute, calls at a time.

    `headroom` is the part of each per-minute limit that is left unused.
    """

    requests_per_minute: Amount | None = None
    input_tokens_per_minute: Amount | None = None
    output_tokens_per_minute: Amount | None = None
    parallel: int | None = None
    headroom: Amount = 0


class CallRate(Value):
    """What one replica does per minute while nothing throttles it, and its slots."""

    calls: Amount
    input_tokens: Amount = 0
    output_tokens: Amount = 0
    slots: int = 1


def calls_per_minute(slots: int, calls_per_task: Amount, task_seconds: Amount) -> Fraction:
    """What one replica asks for with all its slots at work."""
    return Fraction(60 * slots) * Fraction(calls_per_task) / Fraction(task_seconds)


class TokenUse(Value):
    """What was used of it: settled, `reserved` by running tasks, burnt per minute; and how long the
    period is and has left.
    """

    used: Amount
    reserved: Amount = 0
    burn_per_minute: Amount = 0
    minutes_to_reset: Amount = 1440
    period_minutes: Amount = 1440


class Given:
    """A case's inputs, which notes what was read of them."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._left = {key: value for key, value in inputs.items() if key != EXPECTED}

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def take(self, *keys: str, default: Any = None) -> Any:
        """The value under the first of these spellings that is there."""
        for key in keys:
            if key in self._left:
                return self._left.pop(key)
        return default

    def number(self, *keys: str, default: Any = 0) -> Any:
        """The same as an exact number; a JSON float is the decimal that was written."""
        value = self.take(*keys, default=default)
        if isinstance(value, str):
            return Fraction(value)
        return Fraction(Decimal(repr(value))) if isinstance(value, float) else value

    def finish(self) -> None:
        assert not self._left, f"not read: {sorted(self._left)}"


def _amounts(given: Mapping[str, Any]) -> dict[str, Any]:
    numbers = Given(given)
    return {name: numbers.number(name) for name in given}


def _rows(given: Given) -> list[Row]:
    rows = []
    capacity = given.number("capacity", default=None)
    if capacity is not None:
        rows.append(Row(name="slots", capacity=capacity, fair=True))
    for name, inputs in given.take("rows", default={}).items():
        row = Given(inputs)
        rows.append(
            Row(
                name=name,
                capacity=row.number("capacity"),
                soft=row.number("soft", default=None),
                fair=row.take("fair", default=name in FAIR),
            )
        )
        row.finish()
    return rows


def _claim(inputs: Mapping[str, Any], *, slots: bool, weights: dict[str, Any]) -> Claim:
    given = Given(inputs)
    pool = given.take("id")
    weight = given.number("weight", default=1)
    tenant = given.take("tenant")
    if tenant is None:  # a pool without a tenant is its own, and its weight is the tenant's
        tenant = pool
        weights[pool] = weight
    uses = _amounts(given.take("uses", default={}))
    claim = Claim(
        pool=pool,
        tenant=tenant,
        tier=given.take("tier", default=0),
        demand=given.take("demand", default=0),
        weight=weight,
        min=given.take("min", default=0),
        pin=given.take("pin", default=0),
        warm=given.take("warm", default=0),
        current=given.take("current", default=0),
        fixed=given.take("fixed", default=False),
        ceilings=tuple(
            Ceiling(limit=limit, name=name)
            for name, limit in (
                ("max", given.take("max")),
                *(given.take("caps", default={})).items(),
            )
            if limit is not None
        ),
        uses={"slots": 1, **uses} if slots else uses,
        flavors=tuple(_amounts(flavor) for flavor in given.take("flavors", default=())),
    )
    given.finish()
    return claim


def _tenants(given: Given, weights: dict[str, Any]) -> None:
    for name, inputs in (given.take("tenants", default={})).items():
        tenant = Given(inputs)
        weights[name] = tenant.number("weight", default=1)
        tenant.finish()


def _policy(inputs: Mapping[str, Any]) -> SharingPolicy:
    given = Given(inputs)
    policy = SharingPolicy(
        baseline=given.take("baseline", default=1),
        above_floor=given.take("share_basis", default="total") == "above_floor",
        reserves={
            int(tier): replicas
            for tier, replicas in given.take("reserves", "reserve", default={}).items()
        },
    )
    given.finish()
    return policy


class Sharing(NamedTuple):
    """What is shared, by whom, and how shares are counted."""

    claims: tuple[Claim, ...]
    rows: tuple[Row, ...]
    weights: dict[str, Any]
    policy: SharingPolicy

    def allocated(self, policy: SharingPolicy) -> dict[str, int]:
        """What each pool gets; by the reference alone where a fleet file cannot say what the case
        chooses: another policy, or several tiers of one tenant.
        """
        tiers = {(claim.tenant, claim.tier) for claim in self.claims}
        if policy == SharingPolicy() and len(tiers) == len({name for name, _ in tiers}):
            result = allocate(self.claims, self.rows, self.weights)
            return {pool: allotment.replicas for pool, allotment in result.items()}
        return Oracle(self.claims, self.rows, self.weights, policy).run()


def sharing_of(inputs: Mapping[str, Any]) -> Sharing:
    """A case of `allocate`."""
    given, weights = Given(inputs), dict[str, Any]()
    rows = _rows(given)
    slots = any(row.name == "slots" for row in rows)
    claims = [_claim(pool, slots=slots, weights=weights) for pool in given.take("pools")]
    _tenants(given, weights)
    policy = _policy(given.take("policy", default={}))
    given.finish()
    return Sharing(tuple(claims), tuple(rows), weights, policy)


class Steps(NamedTuple):
    """Pools on their way, the places there are, and the weights of tenants."""

    positions: tuple[Position, ...]
    room: int
    weights: dict[str, Any]


def steps_of(inputs: Mapping[str, Any]) -> Steps:
    """A case of `step`: every replica takes one unit of each row."""
    given, weights = Given(inputs), dict[str, Any]()
    room = min((row.capacity for row in _rows(given)), default=UNLIMITED)
    positions = _positions(given, weights)
    given.finish()
    return Steps(tuple(positions), floor(room), weights)


def _positions(given: Given, weights: dict[str, Any]) -> list[Position]:
    """The pools of a step; `weights` gets those of tenants."""
    positions = []
    for inputs in given.take("pools"):
        pool = Given(inputs)
        name, weight = pool.take("id"), pool.number("weight", default=1)
        tenant = pool.take("tenant", default=name)
        if tenant == name:
            weights[name] = weight
        positions.append(
            Position(
                pool=name,
                tenant=tenant,
                current=pool.take("current"),
                target=pool.take("target"),
                busy=pool.take("busy", default=0),
                terminating=pool.take("terminating", default=0),
                too_young=pool.take("too_young", default=0),
                max_up=pool.take("max_up"),
                tier=pool.take("tier", default=0),
                weight=weight,
            )
        )
        pool.finish()
    return positions


class Demanded(NamedTuple):
    """Work, the demand before, and how near a new demand must be to be ignored."""

    work: MeasuredWork
    previous: int | None
    tolerance: Any


def demand_of(inputs: Mapping[str, Any]) -> Demanded:
    """A case of `demand`."""
    given = Given(inputs)
    work = MeasuredWork(
        rate_per_s=given.number("rate_per_s"),
        forecast_per_s=given.number("forecast_per_s"),
        service_s=given.number("service_s", default=None),
        pending=given.take("pending", default=0),
        in_flight=given.take("in_flight", "ack_pending", default=0),
        slots=given.take("slots", "k", default=1),
        occupancy=given.number("rho", "occupancy", "utilization", default=1),
        drain_s=given.number("drain_s", default=9),
        target=given.take("target", "target_per_replica"),
    )
    previous = given.take("previous", "previous_demand")
    tolerance = given.number("tolerance", default=Fraction(1, 10))
    given.finish()
    return Demanded(work, previous, tolerance)


class Rated(NamedTuple):
    """A key's limits, what one replica draws on them, and the part that feeds one more replica."""

    limit: RateLimit
    replica: CallRate
    theta: Any


def rated_of(inputs: Mapping[str, Any]) -> Rated:
    """A case of `rate_cap`."""
    given = Given(inputs)
    limit = RateLimit(
        requests_per_minute=given.number("rpm", default=None),
        input_tokens_per_minute=given.number("itpm", default=None),
        output_tokens_per_minute=given.number("otpm", default=None),
        parallel=given.take("parallel"),
        headroom=given.number("headroom"),
    )
    slots = given.take("slots", "k", default=1)
    calls = given.number("calls_per_min", default=None)
    if calls is None:
        seconds = given.number("service_s", default=None)
        per_job = given.number("calls_per_job", default=None)
        calls = 0 if seconds is None else calls_per_minute(slots, per_job, seconds)
    replica = CallRate(
        calls=calls,
        input_tokens=given.number("input_tokens_per_min"),
        output_tokens=given.number("output_tokens_per_min"),
        slots=slots,
    )
    theta = given.number("theta", default=Fraction(1, 2))
    given.finish()
    return Rated(limit, replica, theta)


class Budgeted(NamedTuple):
    """A budget, what was used of it, and what one replica uses per minute."""

    budget: Budget
    use: TokenUse
    replica_burn: Any


def budgeted_of(inputs: Mapping[str, Any]) -> Budgeted:
    """A case of `budget`."""
    given = Given(inputs)
    mode = given.take("mode", "pacing", default="on_warning")
    budget = Budget(
        tokens_per_day=given.number("budget"),
        warn=given.number("warn", default=Decimal("0.8")),
        hard=given.take("hard", default=True),
        pacing=Pacing(PACING.get(mode, mode)),
        burst=given.number("burst", default=1),
    )
    use = TokenUse(
        used=given.number("used"),
        reserved=given.number("reserved"),
        burn_per_minute=given.number("burn_per_min"),
        minutes_to_reset=given.number("minutes_to_reset"),
        period_minutes=given.number("period_minutes", default=1440),
    )
    burn = given.number("worker_tokens_per_min", default=None)
    given.finish()
    return Budgeted(budget, use, burn)
