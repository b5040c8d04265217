"""The base of every value: frozen, compared by content, made by keyword, and JSON by msgspec."""

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
    # a frozen value cannot come to hold itself, so the collector need not walk thousands of them
    gc=False,
):
    """An immutable value. `msgspec.structs.replace` makes a changed copy."""
