"""The version of snapshots goes up with what they are made of, so that processes of two versions
either understand each other or say why they do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import get_origin

import pytest
from msgspec import inspect

from controller.model.value import Value, cut_for
from controller.record.frames import SNAPSHOT_VERSION, AnyLine, SnapshotVersion
from support.table import tabled

KEPT = Path(__file__).parents[2] / "golden" / "snapshot_fields.txt"
"""The version, then each field and each word that snapshots of that version have."""


def parts(kind: object, seen: set[object]) -> Iterator[str]:
    """A line for each field of a type, and of all types in it; `?` for one that may be left out."""
    match kind:
        case inspect.StructType() if kind.cls not in seen:
            seen.add(kind.cls)
            cls = get_origin(kind.cls) or kind.cls
            annotations: dict[str, object] = {}
            for each in reversed(cls.__mro__):
                annotations |= getattr(each, "__annotations__", {})
            for field in kind.fields:
                mark = "" if field.required else "?"
                name = f"{cls.__name__}.{field.name}{mark}"
                yield f"{name}: {annotations[field.name]}"
                yield from parts(field.type, seen)
        case inspect.EnumType() if kind.cls not in seen:
            seen.add(kind.cls)
            members: type[Enum] = kind.cls
            yield from (f"{members.__name__} = {each.value}" for each in members)
        case inspect.UnionType():
            for each in kind.types:
                yield from parts(each, seen)
        case inspect.TupleType():
            for each in kind.item_types:
                yield from parts(each, seen)
        case inspect.VarTupleType() | inspect.ListType():
            yield from parts(kind.item_type, seen)
        case inspect.DictType():
            yield from parts(kind.value_type, seen)


def test_what_snapshots_are_made_of_is_that_of_their_version(
    request: pytest.FixtureRequest,
) -> None:
    """After a change: raise SNAPSHOT_VERSION as its module says, then `--snapshot-update`."""
    lines = sorted(set(parts(inspect.type_info(AnyLine), set())))
    found = "\n".join((str(SNAPSHOT_VERSION), *lines))
    if request.config.getoption("--snapshot-update"):
        before = KEPT.read_text().splitlines() if KEPT.exists() else [found.partition("\n")[0]]
        raised = before[0] != str(SNAPSHOT_VERSION)
        assert raised or before in ([before[0]], found.splitlines()), "raise SNAPSHOT_VERSION first"
        KEPT.write_text(f"{found}\n")
    assert KEPT.read_text() == f"{found}\n", "raise SNAPSHOT_VERSION, then --snapshot-update"


def test_versions_are_ordered_by_their_numbers() -> None:
    major, minor = SNAPSHOT_VERSION
    for other, readable, newer in (
        ((major, minor), True, False),
        ((major, minor + 1), True, True),
        ((major + 1, 0), False, True),
        ((major - 1, 9), False, False),
    ):
        version = SnapshotVersion(*other)
        assert (version.is_readable, version.is_newer) == (readable, newer)


class Leaf(Value, tag_field="kind", tag="leaf"):
    number: int = 0


class Tree(Value, tag_field="kind", tag="tree"):
    leaves: tuple[Tree | Leaf, ...] = ()
    by_name: Mapping[str, Leaf] = {}
    pair: tuple[Leaf, int] | None = None


@tabled("plain", [3, None, [1], {"kind": "shrub", "new": 1}, {"kind": "tree", "leaves": 4}])
def test_data_of_another_shape_stays_for_the_decoder_to_refuse(plain: object) -> None:
    assert cut_for(Tree | Leaf | None)(plain) == plain


@tabled("name", ["leaves", "by_name", "pair"])
@tabled("plain", [1, "text", [7], {"a": 1}])
def test_a_field_of_another_shape_stays_for_the_decoder_to_refuse(name: str, plain: object) -> None:
    tree = {"kind": "tree", name: plain}
    assert cut_for(Tree)(tree) == tree
