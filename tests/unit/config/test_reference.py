"""The reference fleet file, which has every section, loads as exactly what is in reference.json."""

from __future__ import annotations

from pathlib import Path

import msgspec

from controller.config import load
from controller.model.fleet import Fleet
from controller.model.settings import Settings

REFERENCE = Path(__file__).with_name("reference.yaml")
VALUES = REFERENCE.with_suffix(".json").read_bytes()


def test_the_whole_shape_loads_as_these_values() -> None:
    settings = msgspec.structs.replace(load(REFERENCE), notices=())
    assert settings == msgspec.json.decode(VALUES, type=Settings)


def test_keys_of_the_reference_without_effect_give_notices() -> None:
    assert [notice.path for notice in load(REFERENCE).notices] == ["pools[1].signals.cases"]


def test_a_fleet_is_written_as_json_and_read_back_without_loss() -> None:
    fleet = load(REFERENCE).fleet
    assert msgspec.json.decode(msgspec.json.encode(fleet), type=Fleet) == fleet
