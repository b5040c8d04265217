"""What is worked out once of a fleet, and told apart where it is another."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import lcm

import pytest
from msgspec.structs import replace

from controller.model.fleet import Behavior, Fleet, Pool, ScalingRules, Tenant, Tier
from controller.model.ids import pool_key
from controller.model.scarcity import LlmModel, RateLimits, Resources, TaskUsage
from controller.planning.share.uses import terms_of
from support.sharing import Row, SharingError

CALM = ScalingRules(stabilization_window_s=0)
TENANT = Tenant(name="acme", tier=Tier(name="growth", priority=500), namespace="acme")
ROWS = {name: Row(name=name, capacity=9) for name in ("replicas", "cpu", "rpm:fast", "cpu@spot")}
SMALL = Resources(cpu_milli=500)


def pool(name: str, **fields: object) -> Pool:
    made = Pool(
        key=pool_key("acme", name),
        name=name,
        tenant="acme",
        namespace="acme",
        deployment=name,
        stream="TASKS",
        consumer=name,
        behavior=Behavior(scale_up=CALM, scale_down=CALM),
    )
    return replace(made, **fields)


def fleet(*pools: Pool) -> Fleet:
    model = LlmModel(name="fast", limits=RateLimits(requests_per_minute=60))
    return Fleet(tenants=(TENANT,), pools=pools, models=(model,))


def test_pools_that_use_the_same_share_one_mapping_that_nobody_can_change() -> None:
    one, other = pool("a"), pool("b")
    uses = terms_of(fleet(one, other)).on(ROWS, {})
    found = uses.of(one, SMALL, None).everywhere
    assert found == {"replicas": 1, "cpu": 500}
    assert found is uses.of(other, SMALL, None).everywhere
    with pytest.raises(TypeError):
        found["cpu"] = 1  # type: ignore[index]


def test_what_changes_is_seen_and_what_does_not_is_kept() -> None:
    one = pool("a", nodes=("spot",))
    known = fleet(one)
    terms = terms_of(known)
    assert terms_of(known) is terms
    uses = terms.on(ROWS, {"spot": SMALL})
    assert terms.on(dict(ROWS), {"spot": SMALL}) is uses
    assert uses.of(one, SMALL, None).flavors == ({"cpu@spot": 500},)
    assert uses.of(one, SMALL, None) is uses.of(one, Resources(cpu_milli=500), None)
    assert uses.of(one, Resources(cpu_milli=700), None).everywhere["cpu"] == 700
    assert uses.of(one, None, None).everywhere == {"replicas": 1}
    without = {name: row for name, row in ROWS.items() if name != "cpu"}
    assert terms.on(without, {}).of(one, SMALL, None).everywhere == {"replicas": 1}
    assert terms.on(ROWS, {}).of(one, SMALL, None).flavors == ()


def test_a_pool_that_was_changed_uses_what_it_uses_now() -> None:
    slow, quick = (TaskUsage(calls=1, seconds=Decimal(seconds)) for seconds in (60, 20))
    first, second = pool("a", model="fast", usage=slow), pool("a", model="fast", usage=quick)
    for each, calls in ((first, 1), (second, 3), (first, 1)):
        uses = terms_of(fleet(each)).on(ROWS, {})
        assert uses.of(each, None, each.usage).everywhere["rpm:fast"] == calls
    assert terms_of(fleet(first)).on(ROWS, {}).of(second, None, quick).everywhere["rpm:fast"] == 3


def test_unlike_measured_times_have_a_common_measure() -> None:
    """Times of a thousandth of a second, all prime to each other, beside each other in one row."""
    parts = 1
    one = pool("a", model="fast")
    uses = terms_of(fleet(one)).on(ROWS, {})
    for thousandths in range(10_001, 10_400, 2):
        usage = TaskUsage(calls=1, seconds=Decimal(thousandths) / 1000)
        use = Fraction(uses.of(one, None, usage).everywhere["rpm:fast"])
        exact = Fraction(60_000, thousandths)
        assert exact <= use <= exact + Fraction(1, 10**9)
        parts = lcm(parts, use.denominator)
    assert parts.bit_length() < 2_000


def test_many_fleets_are_not_kept_for_ever() -> None:
    known = fleet(pool("a"))
    terms = terms_of(known)
    for number in range(9):
        terms_of(fleet(pool(f"b{number}")))
    assert terms_of(known) is not terms


def test_a_task_that_takes_no_time_cannot_be_shared_by() -> None:
    one = pool("a", model="fast", usage=TaskUsage(seconds=Decimal(0)))
    with pytest.raises(SharingError, match="no time"):
        terms_of(fleet(one)).on(ROWS, {}).of(one, None, one.usage)
