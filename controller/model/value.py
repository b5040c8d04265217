"""The base class of values: frozen, compared by content, keyword-only, with JSON by msgspec."""

from __future__ import annotations

from typing import dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Value(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    # A frozen value cannot be part of a cycle, so the garbage collector need not track it.
    gc=False,
):
    """An immutable value. `msgspec.structs.replace` makes a changed copy."""
