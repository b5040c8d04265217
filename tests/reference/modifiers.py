"""KEDA's scalingModifiers: one composite metric, computed from the triggers by a formula.

Source: kedacore/keda pkg/scaling/modifiers/formula.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from controller.notation.formula_syntax import FormulaError, FormulaFault
from controller.planning.demand.formula import Formula

COMPOSITE: Final = "composite-metric"
_MILLI: Final = 1000
_QUANTITY_LIMIT: Final = 2**63 - 1


class UnnamedTriggerError(ValueError):
    """A trigger without a name, which no formula can use."""


def pair(formula: str, metric: str, trigger: str) -> dict[str, str]:
    """Which trigger a metric belongs to; empty without a formula. Raises UnnamedTriggerError."""
    if not formula:
        return {}
    if not trigger:
        raise UnnamedTriggerError(
            f"trigger name not given with compositeScaler for metric {metric}"
        )
    return {metric: trigger}


def composite_milli(formula: Formula, values_milli: Mapping[str, int | None]) -> int:
    """The composite metric in thousandths, truncated. A trigger that is None is nil.

    Raises FormulaError where the formula has no number for these triggers, or one that is infinite
    or larger than a quantity.
    """
    result = formula.compute(
        {
            trigger: None if milli is None else milli / _MILLI
            for trigger, milli in values_milli.items()
        }
    )
    milli = result * _MILLI
    if abs(milli) > _QUANTITY_LIMIT:
        raise FormulaError(FormulaFault.NOT_A_NUMBER, 0, f"the result is {result}")
    return int(milli)
