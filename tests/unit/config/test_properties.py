"""Whatever a fleet file holds, it loads, or every complaint says where it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.config import FleetFileError, parse
from controller.config.schema import FleetFile, Section, keys_of
from controller.model.text import clean

KEYS = sorted(
    {key for section in Section.__subclasses__() for key in keys_of(section) | section.not_yet}
)
WORDS = ["acme", "TASKS", "growth", "native", "hpa", "15m", "nats://h", "UTC", "Max", "Pods", ""]

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
    "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 1}]}},
}
FLEET: dict[str, Any] = {
    "version": 1,
    "nats": {"servers": ["nats://h"], "credentials": {"token": {"env": "TOKEN"}}},
    "tiers": {"growth": {"priority": 1}},
    "tenants": {"acme": {"tier": "growth"}},
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
    # without a key path: the file as a whole, or what stands at its top
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


@settings(deadline=None, max_examples=300)
@given(damaged_fleets())
def test_one_wrong_value_never_raises_anything_else(fleet: Any) -> None:
    only_complains(json.dumps(fleet, indent=1, ensure_ascii=False))


def test_the_undamaged_fleet_loads() -> None:
    assert len(parse(json.dumps(FLEET), "fleet.yaml").fleet.pools) == 1


@pytest.mark.parametrize("key", KEYS)
def test_every_key_in_every_place_is_answered(key: str) -> None:
    some: list[object] = [None, 1, "x", [], {}]
    for value in some:
        only_complains(json.dumps(FLEET | {key: value}, indent=1))
        only_complains(json.dumps(FLEET | {"pools": [POOL | {key: value}]}, indent=1))
