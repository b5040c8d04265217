"""What all sections of the fleet file have in common.

A field's text is its description in the JSON schema and in messages. Its name is that of the field
which it becomes in a value of controller/model, so that `value_of` needs no table; where the file
spells it otherwise, the file's spelling is the alias.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

# a pattern in the JSON schema says which names are allowed, but does not refuse others
NO_OTHER_NAMES: Final[JsonDict] = {"additionalProperties": False}

T = TypeVar("T", bound=msgspec.Struct)


class Section(BaseModel):
    """One mapping of the fleet file. A key that is null counts as left out.

    `looks_like` is an example for messages.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    looks_like: ClassVar[str] = "key: value"

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_set(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            known = keys_of(cls)
            return {key: v for key, v in data.items() if v is not None or key not in known}
        return data


class KubernetesSection(Section):
    """One that is spelled as the Kubernetes API spells it."""

    model_config = ConfigDict(alias_generator=to_camel)


def keys_of(section: type[Section]) -> frozenset[str]:
    """The keys of a section, as the file spells them."""
    return frozenset(field.alias or name for name, field in section.model_fields.items())


def value_of(section: Section, kind: type[T], **more: object) -> T:
    """A section as a value: what is set of the fields of the same name, and what is in `more`."""
    names = (name for name in kind.__struct_fields__ if name not in more)
    fields = {name: each for name in names if (each := getattr(section, name, None)) is not None}
    return msgspec.convert(fields | more, kind, from_attributes=True)


def exactly_one(one: str, other: str) -> Any:
    """A check that exactly one of two keys is given."""

    def check(section: Any) -> Any:
        if (getattr(section, one) is None) == (getattr(section, other) is None):
            raise ValueError(f"give exactly one of {one} and {other}")
        return section

    return model_validator(mode="after")(check)


def both_or_neither(one: str, other: str) -> Any:
    """A check that one of two keys is not given without the other."""

    def check(section: Any) -> Any:
        if (getattr(section, one) is None) != (getattr(section, other) is None):
            raise ValueError(f"{one} and {other} need each other: give both or neither")
        return section

    return model_validator(mode="after")(check)


def max_not_below_min(*, default_min: int | None) -> Any:
    """A check of the key `max`."""

    def check(_: type[Section], most: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("min", default_min)
        if most is not None and least is not None and most < least:
            raise ValueError(f"must be at least min ({least})")
        return most

    return field_validator("max")(classmethod(check))


def no_item_twice(key: str, item: str) -> Any:
    """A check of a list of names."""

    def check(_: type[Section], names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError(f"names a {item} twice: remove one")
        return names

    return field_validator(key)(classmethod(check))


def only_if(key: str, holds: Callable[[Any], bool], message: str) -> Any:
    """A check of one key, with the message for a value of which `holds` is not true."""

    def check(_: type[Section], value: Any) -> Any:
        if not holds(value):
            raise ValueError(message)
        return value

    return field_validator(key)(classmethod(check))
