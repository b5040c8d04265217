"""The names under which readings of metrics are kept."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.model.metrics import (
    MetricSpec,
    ObjectMetric,
)
from controller.planning.demand.hpa_metrics import reading_name
from unit.planning.metered import (
    LAG,
    MEMORY,
)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (LAG, "lag"),
        (replace(LAG, selector="team=globex"), "lag{team=globex}"),
        (
            ObjectMetric(name="hits", target=LAG.target, kind="Ingress", object_name="m"),
            "Ingress/m/hits",
        ),
        (MEMORY, "memory"),
    ],
)
def test_the_name_of_a_reading(spec: MetricSpec, name: str) -> None:
    assert reading_name(spec) == name
