"""The base class of values: frozen, compared by content, keyword-only, with JSON by msgspec; and
the limits and units of the Kubernetes API, each of which is defined only here.
"""

from __future__ import annotations

from typing import Final, dataclass_transform

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


INT32_MAX: Final = 2**31 - 1
"""The most replicas that `spec.replicas` can hold."""
INT64_MAX: Final = 2**63 - 1
"""The largest quantity, in any unit."""
MILLI: Final = 1000
"""Thousandths in one unit: Kubernetes states metrics and CPU in thousandths."""
CPU: Final = "cpu"
MEMORY: Final = "memory"
