"""How agentdash answers the cases of sharing: one function per kind. A key that no function reads
is an error, so that nothing a case says is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from controller.planning.native_demand import MeasuredWork, replicas_for

from controller.model.scarcity import Budget, Pacing
from controller.planning.limit.poisson import buffered, warm_spares
from controller.planning.share.budget import TokenUse, budget_ceiling, budget_status
from controller.planning.share.rates import CallRate, RateLimit, calls_per_minute, rate_cap
from controller.planning.step.room import Position, step
from support.sharing import Ceiling, Claim, Row, SharingPolicy, allocate

Answer = Mapping[str, Any]
FAIR = {"slots", "cpu", "memory"}
PACING = {"hard_only": "never", "pace": "on_warning", "pace_always": "always"}


class Given:
    """A case's inputs that remembers what was read."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._left = dict(inputs)

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
        assert not self._left, f"nobody read {sorted(self._left)}"


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
    if tenant is None:  # a pool by itself is its own tenant, and its weight is the tenant's
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


def _allocate(inputs: Mapping[str, Any]) -> Answer:
    given, weights = Given(inputs), dict[str, Any]()
    rows = _rows(given)
    slots = any(row.name == "slots" for row in rows)
    claims = [_claim(pool, slots=slots, weights=weights) for pool in given.take("pools")]
    _tenants(given, weights)
    policy = _policy(given.take("policy", default={}))
    given.finish()
    result = allocate(claims, rows, weights, policy)
    return {"alloc": {pool: allotment.replicas for pool, allotment in result.items()}}


def _step(inputs: Mapping[str, Any]) -> Answer:
    given = Given(inputs)
    rows = _rows(given)
    positions = []
    weights: dict[str, Any] = {}
    for inputs_of_pool in given.take("pools"):
        pool = Given(inputs_of_pool)
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
                uses={row.name: 1 for row in rows},
            )
        )
        pool.finish()
    given.finish()
    steps = step(positions, rows, weights)
    return {
        "pools": {
            name: {
                "next": one.next,
                "add": one.add,
                "remove": one.remove,
                "drain": one.drain,
            }
            for name, one in steps.items()
        }
    }


def _demand(inputs: Mapping[str, Any]) -> Answer:
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
    return {"demand": replicas_for(work, previous, tolerance)}


def _rate_cap(inputs: Mapping[str, Any]) -> Answer:
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
    cap = rate_cap(limit, replica, given.number("theta", default=Fraction(1, 2)))
    given.finish()
    return {"cap": None, "by": None} if cap is None else {"cap": cap.replicas, "by": cap.by}


def _budget(inputs: Mapping[str, Any]) -> Answer:
    given = Given(inputs)
    mode = given.take("mode", "pacing", default="on_warning")
    budget = Budget(
        tokens_per_day=given.number("budget"),
        warn=given.number("warn", default=Decimal("0.8")),
        hard=given.take("hard", default=True),
        pacing=Pacing(PACING.get(mode, mode)),
        burst=given.number("burst", default=1),
    )
    status = budget_status(
        budget,
        TokenUse(
            used=given.number("used"),
            reserved=given.number("reserved"),
            burn_per_minute=given.number("burn_per_min"),
            minutes_to_reset=given.number("minutes_to_reset"),
            period_minutes=given.number("period_minutes", default=1440),
        ),
    )
    ceiling = budget_ceiling(status, given.number("worker_tokens_per_min", default=None))
    given.finish()
    return {
        "state": status.state.value,
        "cap": ceiling,
        "exhausted_in_min": _as_printed(status.exhausted_in),
        "before_reset": status.before_reset,
        "burn_ratio": _as_printed(status.burn_ratio),
        "pace": _as_printed(status.pace),
    }


def _as_printed(number: Fraction | None) -> Any:
    """The cases round what is for people to read."""
    return None if number is None else pytest.approx(float(number), rel=1e-3, abs=0.006)


def _warm(inputs: Mapping[str, Any]) -> Answer:
    given = Given(inputs)
    if "allocated" in given:
        allocated = given.take("allocated")
        replicas = buffered(
            allocated,
            percent=given.number("buffer_percent", default=None),
            replicas=given.take("buffer", default=0),
        )
        given.finish()
        return {"replicas": replicas}
    spares = warm_spares(
        given.number("rate_per_s"),
        given.number("tick_s", "notice_s"),
        given.number("cold_start_s", "ready_s"),
        given.number("slo", default=Fraction(99, 100)),
    )
    given.finish()
    return {"spares": spares}


SHARING_ANSWERS: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
    "allocate": _allocate,
    "step": _step,
    "demand": _demand,
    "rate_cap": _rate_cap,
    "budget": _budget,
    "warm": _warm,
}
