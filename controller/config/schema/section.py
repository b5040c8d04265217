"""What all sections of the fleet file have in common."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

MAX_REPLICAS: Final = 100_000
"""The largest number for one pool, node class or tenant in a fleet file. Kubernetes supports
150,000 pods in a cluster, so a larger number is a typing error.
"""
MAX_COUNT: Final = 10**15
"""The largest number of tokens and calls: no tenant has so many in a day."""

# a pattern in the JSON schema says which names are allowed, but does not refuse others
NO_OTHER_NAMES: Final[JsonDict] = {"additionalProperties": False}

Replicas = Annotated[int, Field(ge=0, le=MAX_REPLICAS)]
Tasks = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]
WholeCount = Annotated[int, Field(ge=0, le=MAX_COUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_COUNT)]


class Section(BaseModel):
    """One mapping of the fleet file. A key that is null counts as left out.

    `looks_like` is an example for messages.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    looks_like: ClassVar[str] = "key: value"

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_set(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            known = keys_of(cls)
            return {key: v for key, v in data.items() if v is not None or key not in known}
        return data


def keys_of(section: type[Section]) -> frozenset[str]:
    """The keys of a section, as the file spells them."""
    return frozenset(field.alias or name for name, field in section.model_fields.items())


def bounds_in_order(most: int | None, least: int | None) -> int | None:
    """`most` itself, if it is not below `least`. Raises ValueError."""
    if most is not None and least is not None and most < least:
        raise ValueError(f"must be at least min ({least})")
    return most
