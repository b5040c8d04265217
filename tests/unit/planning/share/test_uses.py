"""What one replica of a pool takes of the rows, worked out once while it stays the same."""

from __future__ import annotations

import gc
from decimal import Decimal
from fractions import Fraction
from math import lcm

import pytest
from msgspec.structs import replace

from controller.model.fleet import Behavior, Pool, ScalingRules, Tenant, Tier
from controller.model.ids import pool_key
from controller.model.scarcity import LlmModel, RateLimits, Resources, TaskUsage
from controller.planning.amounts import ReplicaUses
from controller.planning.share.claims import KnownUses
from support.sharing import SharingError

CALM = ScalingRules(stabilization_window_s=0)
TENANT = Tenant(name="acme", tier=Tier(name="growth", priority=500), namespace="acme")
FAST = LlmModel(name="fast", limits=RateLimits(requests_per_minute=60))
ROWS = ("replicas", "cpu", "rpm:fast", "cpu@spot")
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


def known(rows: tuple[str, ...] = ROWS, classes: tuple[str, ...] = ()) -> KnownUses:
    return KnownUses(rows, classes)


def uses_of(
    uses: KnownUses, pool: Pool, requests: Resources | None, usage: TaskUsage | None = None
) -> ReplicaUses:
    model = FAST if pool.model == "fast" else None
    return uses.of(pool, requests, usage, tenant=TENANT, model=model)


def test_pools_that_take_the_same_share_one_mapping_that_cannot_be_changed() -> None:
    one, other = pool("a"), pool("b")
    uses = known()
    found = uses_of(uses, one, SMALL).everywhere
    assert found == {"replicas": 1, "cpu": 500}
    assert found is uses_of(uses, other, SMALL).everywhere
    with pytest.raises(TypeError):
        found["cpu"] = 1  # type: ignore[index]


def test_other_requests_are_worked_out_and_equal_ones_are_kept() -> None:
    one = pool("a", nodes=("spot",))
    uses = known(classes=("spot",))
    assert uses_of(uses, one, SMALL).flavors == ({"cpu@spot": 500},)
    assert uses_of(uses, one, SMALL) is uses_of(uses, one, Resources(cpu_milli=500))
    assert uses_of(uses, one, Resources(cpu_milli=700)).everywhere["cpu"] == 700
    assert uses_of(uses, one, None).everywhere == {"replicas": 1}


def test_only_rows_and_classes_that_exist_are_drawn_on() -> None:
    one = pool("a", nodes=("spot",))
    without = tuple(name for name in ROWS if name != "cpu")
    assert uses_of(known(without), one, SMALL).everywhere == {"replicas": 1}
    assert uses_of(known(), one, SMALL).flavors == ()


def test_a_pool_that_was_changed_takes_what_it_takes_now() -> None:
    slow, quick = (TaskUsage(calls=1, seconds=Decimal(seconds)) for seconds in (60, 20))
    first, second = pool("a", model="fast", usage=slow), pool("a", model="fast", usage=quick)
    uses = known()
    for each, calls in ((first, 1), (second, 3), (first, 1)):
        assert uses_of(uses, each, None, each.usage).everywhere["rpm:fast"] == calls


def test_different_measured_times_have_a_small_common_denominator() -> None:
    """Times in thousandths of a second, all coprime, beside each other in one row."""
    parts = 1
    one = pool("a", model="fast")
    uses = known()
    for thousandths in range(10_001, 10_400, 2):
        usage = TaskUsage(calls=1, seconds=Decimal(thousandths) / 1000)
        use = Fraction(uses_of(uses, one, None, usage).everywhere["rpm:fast"])
        exact = Fraction(60_000, thousandths)
        assert exact <= use <= exact + Fraction(1, 10**9)
        parts = lcm(parts, use.denominator)
    assert parts.bit_length() < 2_000


def test_what_is_measured_again_and_again_is_not_kept_for_ever() -> None:
    one, uses = pool("a", model="fast"), known()
    for seconds in range(1, 6_000):
        uses_of(uses, one, None, TaskUsage(calls=1, seconds=Decimal(seconds)))
    assert sum(isinstance(each, ReplicaUses) for each in gc.get_objects()) < 5_000


def test_a_task_that_takes_no_time_cannot_be_shared_by() -> None:
    one = pool("a", model="fast", usage=TaskUsage(seconds=Decimal(0)))
    with pytest.raises(SharingError, match="no time"):
        uses_of(known(), one, None, one.usage)
