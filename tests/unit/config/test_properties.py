"""Any fleet file either loads or is refused with a position for every problem."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
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

FLEET: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("reference.yaml").read_text("utf-8")
)
POOL = FLEET["pools"][0]


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


@settings(deadline=None, max_examples=scaled(60))
@given(damaged_fleets())
def test_one_wrong_value_never_raises_anything_else(fleet: Any) -> None:
    only_complains(json.dumps(fleet, indent=1, ensure_ascii=False))


def test_any_key_in_any_place_loads_or_is_complained_about(fleet: dict[str, Any]) -> None:
    [pool] = fleet["pools"]
    for key in KEYS:
        for value in (None, "x"):
            only_complains(json.dumps(fleet | {key: value}, indent=1))
            only_complains(json.dumps(fleet | {"pools": [pool | {key: value}]}, indent=1))
