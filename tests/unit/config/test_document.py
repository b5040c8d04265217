"""The YAML reader gives plain data with positions, or says where the text is wrong."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from controller.config import FleetFileError
from controller.config.document import (
    LOADER,
    MAX_DEPTH,
    MAX_VALUES,
    Document,
    TextPosition,
    read,
)
from support.table import tabled

both_parsers = pytest.mark.parametrize("loader", [LOADER, yaml.SafeLoader])


def data(text: str, loader: Any = LOADER) -> object:
    document = read(text, "fleet.yaml", loader)
    assert document.problems == []
    return document.data


def failure(text: str, loader: Any = LOADER) -> str:
    with pytest.raises(FleetFileError) as caught:
        read(text, "fleet.yaml", loader)
    return str(caught.value)


@both_parsers
@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("12", 12),
        ("-0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ("!!str 12", "12"),
        # text in YAML 1.2, but not in 1.1
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"),
        ("=", "="),
        (".inf", ".inf"),
    ],
)
def test_scalars_are_typed_as_yaml_1_2_does(scalar: str, value: object, loader: Any) -> None:
    read_value = data(f"key: {scalar}", loader)
    assert read_value == {"key": value}
    assert isinstance(read_value, dict)
    assert type(read_value["key"]) is type(value)


@both_parsers
def test_positions_of_keys_and_values(loader: Any) -> None:
    document = read("a:\n  - b: {ü: 1, c: 2}\n    d:\n", "fleet.yaml", loader)
    assert document.position(("a",)) == TextPosition(2, 3)
    assert document.position(("a",), at_key=True) == TextPosition(1, 1)
    assert document.position(("a", 0, "b", "c")) == TextPosition(2, 18)
    assert document.position(("a", 0, "b", "c"), at_key=True) == TextPosition(2, 15)
    assert document.position(("a", 0, "d"), at_key=True) == TextPosition(3, 5)


@tabled("missing", [("a", "x"), ("a", 3), ("a", "b", "c"), ("a", "b", 0)])
def test_a_missing_value_has_the_position_of_the_innermost_value_around_it(
    missing: tuple[str | int, ...],
) -> None:
    document = read("a:\n  b: 1", "fleet.yaml")
    inner = TextPosition(2, 6) if "b" in missing else TextPosition(2, 3)
    assert document.position(missing) == inner
    assert document.position(missing, at_key=True) == inner


@both_parsers
@pytest.mark.parametrize(
    ("merge", "merged"),
    [
        ("{<<: *a, x: 9}", {"x": 9, "y": 1}),
        ("{x: 9, <<: *a}", {"x": 9, "y": 1}),
        ("{<<: [*a, *b]}", {"x": 1, "y": 1, "z": 2}),
        ("{<<: [*b, *a]}", {"x": 2, "y": 1, "z": 2}),
        ("{'<<': 1}", {"<<": 1}),
    ],
)
def test_merge_keys_add_missing_keys(merge: str, merged: object, loader: Any) -> None:
    text = f"a: &a {{x: 1, y: 1}}\nb: &b {{x: 2, z: 2}}\nc: {merge}"
    read_value = data(text, loader)
    assert isinstance(read_value, dict)
    assert read_value["c"] == merged


@both_parsers
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "2:1: a: stands here twice (first on line 1): remove one"),
        ("a: {b: 1,\n b: 2}", "2:2: a.b: stands here twice (first on line 1): remove one"),
        ("&k a: 1\n*k : 2", "2:1: a: stands here twice (first on line 1): remove one"),
        ("a: {1: x}", "1:5: a: a key must be text: put it in quotes"),
        ("{? [a]: x}", "1:4: a key must be text: put it in quotes"),
        ("null: x", "1:1: a key must be text: put it in quotes"),
        ("a: !!python/object:os.system x", "1:4: a: a YAML tag (!…) is not read here"),
        ("a: !mine {}", "1:4: a: a YAML tag (!…) is not read here: leave it out"),
        ("a: {<<: 1}", '1:9: a."<<": a merge key takes a mapping, or a list of mappings'),
        ("a: {<<: [[]]}", '1:9: a."<<": a merge key takes a mapping, or a list of mappings'),
    ],
)
def test_what_yaml_allows_and_a_fleet_file_does_not(text: str, problem: str, loader: Any) -> None:
    found = [str(found) for found in read(text, "fleet.yaml", loader).problems]
    assert any(line.startswith(f"fleet.yaml:{problem}") for line in found), found


@both_parsers
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\t- x", "2:1: not YAML: a tab stands here; YAML indents with spaces"),
        ("a: [b\n", "fleet.yaml:1:6: not YAML: "),
        ("a: [b", "check the indentation, colons, brackets and quotes here"),
        ("a: b: c", "1:5: not YAML: mapping values are not allowed"),
        ("a: 'b", "(while scanning a quoted scalar that starts on line 1)"),
        ("a: *b", "1:4: this alias (*…) has no anchor (&…) before it"),
        ("a: &a [*a]", "1:8: this alias (*…) has no anchor (&…) before it"),
        ("a: 1\n---\nb: 2", "2:1: a second document begins here: a fleet file is one document"),
        ("a: é\n\x07", "2:1: a YAML file may not have the character U+0007: take it out"),
        ("a: \ud800", "1:4: a YAML file may not have the character U+D800: take it out"),
        ("a: \ufeff", "1:4: a YAML file may not have the character U+FEFF"),
    ],
)
def test_text_that_is_not_yaml_is_refused_with_its_position(
    text: str, message: str, loader: Any
) -> None:
    assert message in failure(text, loader)


@both_parsers
@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "{<<: "])
def test_depth_is_bounded(opening: str, loader: Any) -> None:
    assert f"nests deeper than {MAX_DEPTH} levels" in failure(opening * 300_000, loader)


def test_aliases_that_unfold_without_end_are_refused_without_unfolding_them() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert failure("\n".join(lines)) == f"fleet.yaml:6:5: holds more than {MAX_VALUES:,} values"


def test_merge_keys_that_unfold_without_end_are_refused() -> None:
    wide = ", ".join(f"k{n}: 1" for n in range(2000))
    merges = ", ".join(["*a"] * 1000)
    assert "holds more than" in failure(f"a: &a {{{wide}}}\nb: {{<<: [{merges}]}}")


def test_an_empty_text_has_no_data() -> None:
    empty: Document = read("", "fleet.yaml")
    assert empty.data is None
    assert empty.position(("a",)) == TextPosition(1, 1)
