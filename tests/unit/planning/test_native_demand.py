"""Demand from rates and times."""

from __future__ import annotations

from fractions import Fraction

import pytest
from controller.planning.native_demand import MeasuredWork, replicas_for

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("work", "replicas"),
    [
        ({}, 0),
        ({"service_s": 30, "rate_per_s": Fraction(1, 10)}, 3),
        ({"service_s": 30, "rate_per_s": HALF, "forecast_per_s": 1}, 30),
        ({"service_s": 30, "rate_per_s": 1, "forecast_per_s": HALF}, 30),
        ({"service_s": 30, "rate_per_s": 1, "slots": 4}, 8),
        ({"service_s": 30, "rate_per_s": 1, "occupancy": Fraction(3, 4)}, 40),
        ({"service_s": 1, "pending": 9, "drain_s": 9}, 1),
        ({"service_s": 10, "pending": 9, "drain_s": 9}, 10),
        ({"service_s": Fraction(1, 100), "pending": 1}, 1),
        ({"service_s": 1, "in_flight": 7, "slots": 2}, 4),
        ({"pending": 7, "in_flight": 4, "target": 10}, 2),
        ({"pending": 7, "in_flight": 4, "slots": 3}, 4),
    ],
)
def test_demand_is_what_arrives_waits_and_runs(work: dict[str, int], replicas: int) -> None:
    assert replicas_for(MeasuredWork(**work)) == replicas  # type: ignore[arg-type]


def test_a_small_change_is_no_change_unless_work_would_be_uncovered() -> None:
    work = MeasuredWork(service_s=1, rate_per_s=21)
    assert replicas_for(work, 20, Fraction(1, 10)) == 20
    assert replicas_for(work, 19, Fraction(1, 10)) == 21
    assert replicas_for(work, 0, Fraction(1, 10)) == 21
    running = MeasuredWork(service_s=1, rate_per_s=5, in_flight=21)
    assert replicas_for(running, 20, Fraction(1, 10)) == 21
