"""What one metric proposes."""

from __future__ import annotations

import pytest

from controller.planning.demand.metrics.external import (
    Tolerance,
    external_average_value,
    external_value,
    object_average_value,
    object_value,
)

TENTH = Tolerance()


@pytest.mark.parametrize(
    ("ratio", "holds"),
    [(0.89, False), (0.9, True), (1.0, True), (1.1, True), (1.11, False), (float("nan"), False)],
)
def test_both_ends_belong_to_the_tolerance(ratio: float, holds: bool) -> None:
    assert TENTH.holds(ratio) is holds


def test_each_direction_has_its_own_tolerance() -> None:
    assert Tolerance(down=0.5, up=0.0).holds(0.5)
    assert not Tolerance(down=0.5, up=0.0).holds(1.01)


def test_a_value_counts_ready_pods_outside_the_tolerance_and_the_spec_inside() -> None:
    assert object_value(2_000, 1_000, 5, 3, TENTH).replicas == 6
    assert object_value(1_050, 1_000, 5, 3, TENTH).replicas == 5
    assert object_value(2_000, 1_000, 5, 0, TENTH).replicas == 0


def test_from_zero_a_value_is_its_ratio_without_tolerance() -> None:
    assert object_value(1_050, 1_000, 0, 0, TENTH).replicas == 2


def test_an_average_counts_the_status_inside_the_tolerance_and_the_work_outside() -> None:
    assert object_average_value(4_100, 1_000, 4, TENTH) == (4, 1_025)
    assert object_average_value(4_500, 1_000, 4, TENTH) == (5, 1_125)
    assert object_average_value(4_500, 1_000, 0, TENTH) == (5, 0)


def test_an_external_metric_sums_its_series() -> None:
    assert external_value([700, 1_300], 1_000, 1, 1, TENTH) == (2, 2_000)
    assert external_average_value([700, 1_300], 500, 1, TENTH) == (4, 2_000)


def test_without_a_series_there_is_no_proposal() -> None:
    assert external_value([], 1_000, 1, 1, TENTH) is None
    assert external_average_value([], 1_000, 1, TENTH) is None


def test_absurd_usage_saturates() -> None:
    assert external_value([2**63, 2**63], 1, 1, 1, TENTH) == (2**31 - 1, 2**63 - 1)


def test_a_sum_stays_at_its_limit_once_reached_and_is_shown_as_it_is() -> None:
    limit = 2**63 - 1
    assert external_value([limit, 1, -5], 1, 1, 1, TENTH) == (2**31 - 1, limit)
    assert external_average_value([limit, 1], 1, 7, TENTH) == (2**31 - 1, limit)
