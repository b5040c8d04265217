"""What every section of the fleet file has in common."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

REPLICAS_LIMIT: Final = 100_000
INT32_MAX: Final = 2**31 - 1
COUNT_LIMIT: Final = 10**15

# pydantic says by a pattern what names may be, but not that there are no others
NO_OTHER_NAMES: Final[JsonDict] = {"additionalProperties": False}

Replicas = Annotated[int, Field(ge=0, le=REPLICAS_LIMIT)]
Tasks = Annotated[int, Field(ge=1, le=REPLICAS_LIMIT)]
Count = Annotated[int, Field(ge=0, le=COUNT_LIMIT)]
Limit = Annotated[int, Field(ge=1, le=COUNT_LIMIT)]


class Section(BaseModel):
    """One mapping of the fleet file. A key set to null is a key not set."""

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
    """The keys a section knows, as the file spells them."""
    return frozenset(field.alias or name for name, field in section.model_fields.items())


def bounds_in_order(most: int | None, least: int | None) -> int | None:
    """`most` itself, unless it is below `least`. Raises ValueError."""
    if most is not None and least is not None and most < least:
        raise ValueError(f"must be at least min ({least})")
    return most
