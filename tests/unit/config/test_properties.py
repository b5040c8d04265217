"""Any fleet file either loads or is refused with a position for every problem."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.config import FleetFileError, parse
from controller.config.scalars import Section, keys_of
from controller.config.schema import FleetFile
from controller.model.text import clean
from support.examples import scaled


def sections(section: type[Section] = Section) -> Iterator[type[Section]]:
    for below in section.__subclasses__():
        yield below
        yield from sections(below)


KEYS = sorted({key for section in sections() for key in keys_of(section)})
WORDS = [
    *("acme", "TASKS", "growth", "native", "hpa", "15m", "nats://h", "UTC", "Max", "Pods", ""),
    *("1Gi", "500m", "0.5", "1/3", "mon-fri", "sat,sun", "08:00", "24:00", "hold", "External"),
    *("queue", "spot", "gpt", "AverageValue", "static", "1e99", "NaN", "1" * 30),
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**20), max_value=10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(WORDS)
)
keys = st.sampled_from(KEYS) | st.sampled_from(WORDS) | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
documents = values | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(FleetFile.model_fields, values)
)

POOL = {
    "name": "a",
    "tenant": "acme",
    "queue": {"stream": "S", "consumer": "c"},
    "replicas": {"min": 0, "max": 3},
    "behavior": {
        "scaleUp": {
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 1}],
            "tolerance": 0.1,
        }
    },
    "nodes": ["spot"],
    "native": {"start_wait_cost": 1, "keep_wait_cost": 2, "hold": 3, "late_share": 0.1},
    "warm": {"slo": 0.9},
    "model": "gpt",
    "usage": {"calls": 2, "seconds": 1.5},
    "schedules": [
        {"days": "mon-fri", "from": "08:00", "to": "18:00", "min": 1},
        {"days": ["sat"], "from": "18:00", "to": "06:00", "max": 2},
    ],
    "metrics": [
        {
            "type": "Pods",
            "pods": {
                "metric": {
                    "name": "pages",
                    "selector": {
                        "matchLabels": {"team": "a"},
                        "matchExpressions": [{"key": "b", "operator": "In", "values": ["c"]}],
                    },
                },
                "target": {"type": "AverageValue", "averageValue": "5"},
            },
        },
        {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 7}},
        },
    ],
    "modifiers": {"formula": "queue / 2", "target": "5"},
    "fallback": {"failureThreshold": 3, "replicas": 1},
}
FLEET: dict[str, Any] = {
    "version": 1,
    "nats": {"servers": ["nats://h"], "credentials": {"token": {"env": "TOKEN"}}},
    "tiers": {"growth": {"priority": 1, "blind": {"after": 1, "replicas": 1}}},
    "models": {"gpt": {"limits": {"parallel": 1}, "price": {"input": 1, "output": 2}}},
    "tenants": {
        "acme": {
            "tier": "growth",
            "quota": {"cpu": "1", "memory": "1Gi"},
            "budget": {"count": {"input": 0.5}, "usd_per_hour": 5, "usd_alert": 4.5},
        }
    },
    "capacity": {"cpu": 2, "node_classes": {"spot": {"nodes": {"min": 1, "max": 2}}}},
    "pools": [POOL],
}


def only_complains(text: str) -> None:
    try:
        parse(text, "fleet.yaml")
    except FleetFileError as error:
        problems = error.errors
    else:
        return
    lines = max(len(text.splitlines()), 1)
    whole_file = [problem for problem in problems if not problem.path]
    assert problems
    assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in problems)
    assert all(problem.message and clean(problem, 10_000) == str(problem) for problem in problems)
    # a problem without a key path is of the whole file, or of a key at its top
    assert len(whole_file) == len(problems) or all("key must" in str(one) for one in whole_file)


@settings(deadline=None)
@given(documents)
def test_any_document_loads_or_is_complained_about(document: object) -> None:
    only_complains(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=True))


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(codec="utf-8")) | st.text(alphabet="ab:-[]{}&*!<>'\"#? \n\t,|%@")
)
def test_any_text_loads_or_is_complained_about(text: str) -> None:
    only_complains(text)


@st.composite
def damaged_fleets(draw: st.DrawFn) -> Any:
    """A correct fleet with one of its values replaced."""
    fleet = json.loads(json.dumps(FLEET))
    container = fleet
    while True:
        options = list(container) if isinstance(container, dict) else list(range(len(container)))
        step = draw(st.sampled_from(options))
        if not isinstance(container[step], dict | list) or draw(st.booleans()):
            container[step] = draw(values)
            return fleet
        container = container[step]


@settings(deadline=None, max_examples=scaled(300))
@given(damaged_fleets())
def test_one_wrong_value_never_raises_anything_else(fleet: Any) -> None:
    only_complains(json.dumps(fleet, indent=1, ensure_ascii=False))


def test_the_undamaged_fleet_loads() -> None:
    assert len(parse(json.dumps(FLEET), "fleet.yaml").fleet.pools) == 1


@pytest.mark.parametrize("key", KEYS)
def test_any_key_in_any_place_loads_or_is_complained_about(key: str) -> None:
    some: list[object] = [None, 1, "x", [], {}]
    for value in some:
        only_complains(json.dumps(FLEET | {key: value}, indent=1))
        only_complains(json.dumps(FLEET | {"pools": [POOL | {key: value}]}, indent=1))
