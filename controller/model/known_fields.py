"""Data of a newer version without the fields that this version does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import inspect

Cut: TypeAlias = Callable[[Any], Any]
"""Gives plain data without unknown fields. Data of another shape than the type stays as it is:
the decoder refuses it.
"""


def cut_for(kind: Any) -> Cut:
    """What leaves only the fields that a type of msgspec has, at any depth."""
    return _Cuts().of(inspect.type_info(kind))


class _Cuts:
    """The cuts of all types inside of one. The fields of a struct are found once, so that it may
    contain itself.
    """

    def __init__(self) -> None:
        self._fields: dict[int, dict[str, Cut]] = {}

    def of(self, kind: inspect.Type) -> Cut:
        match kind:
            case inspect.StructType():
                return self._of_struct(kind)
            case inspect.UnionType():
                return self._of_union(kind)
            case inspect.VarTupleType() | inspect.ListType():
                each = self.of(kind.item_type)
                return lambda plain: list(map(each, plain)) if isinstance(plain, list) else plain
            case inspect.TupleType():
                return _of_places([self.of(each) for each in kind.item_types])
            case inspect.DictType():
                return _of_values(self.of(kind.value_type))
        return _unchanged

    def _of_struct(self, kind: inspect.StructType) -> Cut:
        if id(kind) in self._fields:
            fields = self._fields[id(kind)]
        else:
            fields = self._fields[id(kind)] = {}
            fields |= {field.encode_name: self.of(field.type) for field in kind.fields}
            if kind.tag_field is not None:
                fields[kind.tag_field] = _unchanged

        def cut(plain: Any) -> Any:
            if not isinstance(plain, dict):
                return plain
            return {name: fields[name](each) for name, each in plain.items() if name in fields}

        return cut

    def _of_union(self, kind: inspect.UnionType) -> Cut:
        structs = [each for each in kind.types if isinstance(each, inspect.StructType)]
        if not structs:
            others = [self.of(each) for each in kind.types]
            return next((each for each in others if each is not _unchanged), _unchanged)
        by_tag = {(each.tag_field, each.tag): self.of(each) for each in structs}

        def cut(plain: Any) -> Any:
            if isinstance(plain, dict):
                for (field, tag), each in by_tag.items():
                    if field is None or plain.get(field) == tag:
                        return each(plain)
            return plain

        return cut


def _of_places(cuts: list[Cut]) -> Cut:
    def cut(plain: Any) -> Any:
        if not isinstance(plain, list) or len(plain) != len(cuts):
            return plain
        return [each(value) for each, value in zip(cuts, plain, strict=True)]

    return cut


def _of_values(of_value: Cut) -> Cut:
    def cut(plain: Any) -> Any:
        if not isinstance(plain, dict):
            return plain
        return {name: of_value(each) for name, each in plain.items()}

    return cut


def _unchanged(plain: Any) -> Any:
    return plain
