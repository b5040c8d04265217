"""What one Object or External metric proposes, and what the usage takes without any tolerance."""

from __future__ import annotations

import pytest

from controller.model.value import INT32_MAX, INT64_MAX
from controller.planning.demand.hpa_metrics import (
    MetricError,
    MetricFault,
    object_average_value,
    object_value,
    total_milli,
)
from controller.planning.inputs import Tolerance

TENTH = Tolerance()


@pytest.mark.parametrize(
    ("ratio", "holds"),
    [(0.89, False), (0.9, True), (1.0, True), (1.1, True), (1.11, False), (float("nan"), False)],
)
def test_the_tolerance_includes_both_ends(ratio: float, holds: bool) -> None:
    assert TENTH.holds(ratio) is holds


def test_each_direction_has_its_own_tolerance() -> None:
    assert Tolerance(down=0.5, up=0.0).holds(0.5)
    assert not Tolerance(down=0.5, up=0.0).holds(1.01)


def test_a_value_target_counts_ready_pods_outside_the_tolerance_and_the_spec_within() -> None:
    assert object_value(2_000, 1_000, 5, 3, TENTH).replicas == 6
    assert object_value(1_050, 1_000, 5, 3, TENTH).replicas == 5
    assert object_value(2_000, 1_000, 5, 0, TENTH).replicas == 0


def test_from_zero_a_value_target_gives_the_ratio_without_tolerance() -> None:
    assert object_value(1_050, 1_000, 0, 0, TENTH).replicas == 2


def test_an_average_counts_the_status_within_the_tolerance_and_the_usage_outside() -> None:
    assert object_average_value(4_100, 1_000, 4, TENTH)[:2] == (4, 1_025)
    assert object_average_value(4_500, 1_000, 4, TENTH)[:2] == (5, 1_125)
    assert object_average_value(4_500, 1_000, 0, TENTH)[:2] == (5, 0)


def test_an_external_metric_sums_its_series() -> None:
    assert object_value(total_milli([700, 1_300]), 1_000, 1, 1, TENTH) == (2, 2_000, 2)
    assert object_average_value(total_milli([700, 1_300]), 500, 1, TENTH) == (4, 2_000, 4)


def test_without_a_series_there_is_no_proposal() -> None:
    with pytest.raises(MetricError) as caught:
        total_milli([])
    assert caught.value.fault is MetricFault.NO_SERIES


def test_absurd_usage_saturates() -> None:
    assert object_value(total_milli([2**63, 2**63]), 1, 1, 1, TENTH) == (
        INT32_MAX,
        INT64_MAX,
        INT32_MAX,
    )


def test_a_sum_that_reaches_the_largest_quantity_stays_there() -> None:
    most = (INT32_MAX, INT64_MAX, INT32_MAX)
    assert object_value(total_milli([INT64_MAX, 1, -5]), 1, 1, 1, TENTH) == most
    assert object_average_value(total_milli([INT64_MAX, 1]), 1, 7, TENTH) == most


@pytest.mark.parametrize(
    ("value", "replicas", "needed"),
    [(3_700, 4, 4), (3_600, 4, 4), (4_100, 4, 4), (4_400, 4, 4), (4_500, 5, 5), (3_500, 4, 4)],
)
def test_within_the_tolerance_the_usage_never_needs_more_than_the_present_size(
    value: int, replicas: int, needed: int
) -> None:
    found = object_average_value(value, 1_000, 4, TENTH)
    assert (found.replicas, found.needed) == (replicas, needed)


def test_within_the_tolerance_the_usage_may_need_fewer_than_the_present_size() -> None:
    assert object_average_value(18_000, 1_000, 20, TENTH)[::2] == (20, 18)
    assert object_value(900, 1_000, 20, 20, TENTH)[::2] == (20, 18)
    assert object_value(1_100, 1_000, 20, 20, TENTH)[::2] == (20, 20)
    assert object_value(900, 1_000, 20, None, TENTH)[::2] == (20, 20)
