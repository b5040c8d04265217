"""The JSON Schema that editors use, and the shape it is made from."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from controller.config import json_schema, load
from controller.config.scalars import Section

SCHEMA = json_schema()


def sections(section: type[Section] = Section) -> Iterator[type[Section]]:
    for below in section.__subclasses__():
        yield below
        yield from sections(below)


def fits(value: object, schema: dict[str, Any]) -> bool:  # noqa: PLR0911 - one for each word
    """Whether a value fits a schema; it knows the keywords that our schema uses."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    match schema["type"]:
        case "object":
            return isinstance(value, dict) and fits_object(value, schema)
        case "array":
            return isinstance(value, list) and all(fits(item, schema["items"]) for item in value)
        case "string":
            pattern = schema.get("pattern", "")
            return isinstance(value, str) and re.search(pattern, value) is not None
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case kind:
            types = int if kind == "integer" else int | float
            least, most = schema.get("minimum", value), schema.get("maximum", value)
            return isinstance(value, types) and bool(least <= value <= most)


def fits_object(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    properties = schema.get("properties", {})
    assert schema["additionalProperties"] is False
    names = schema.get("patternProperties", {})
    if not set(schema.get("required", ())) <= value.keys():
        return False
    for key, member in value.items():
        if key in properties:
            allowed = properties[key]
        else:
            matching = (one for pattern, one in names.items() if re.search(pattern, key))
            allowed = next(matching, None)
        if allowed is None or not fits(member, allowed):
            return False
    return True


def example() -> dict[str, Any]:
    text = importlib.resources.files("agentdash").joinpath("fleet.example.yaml").read_text("utf-8")
    document = yaml.safe_load(text)
    assert isinstance(document, dict)
    return document


def test_the_shipped_example_fits_the_schema() -> None:
    assert fits(example(), SCHEMA)


def test_a_file_with_every_section_fits_the_schema() -> None:
    text = Path(__file__).with_name("reference.yaml").read_text("utf-8")
    assert fits(yaml.safe_load(text), SCHEMA)


def test_the_schema_refuses_values_that_the_loader_refuses() -> None:
    wrong_values: list[tuple[str, object]] = [
        *(("cooldown", "1d"), ("slots", 0), ("warm", 2), ("name", "A"), ("rule", "keda")),
        *(("weight", "1/3"), ("profile", "large"), ("metrics", [{"type": "external"}])),
        ("schedules", [{"days": "weekend", "from": "08:00", "to": "18:00"}]),
    ]
    for key, value in wrong_values:
        wrong = example()
        wrong["pools"][0][key] = value
        assert not fits(wrong, SCHEMA), key
    assert not fits(example() | {"tenants": {"A B": {"tier": "growth"}}}, SCHEMA)
    for key in ("version", "nats"):
        assert not fits({k: v for k, v in example().items() if k != key}, SCHEMA)


def test_every_key_has_a_description_and_the_schema_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    shapes = {"the file": SCHEMA, **SCHEMA["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, shape in shapes.items()
        for key, member in shape["properties"].items()
        if not member.get("description", "").endswith(".")
    ]
    assert bare == []


def test_the_example_gives_no_notice(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(
        importlib.resources.files("agentdash").joinpath("fleet.example.yaml").read_bytes()
    )
    assert load(path).notices == ()
