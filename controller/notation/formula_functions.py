"""The functions that a formula may call, with their arguments and arithmetic.

They are the functions of expr-lang's builtin/builtin.go that take or return numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final


def _rounded(number: float) -> float:
    """The nearest integer; halves are rounded away from zero."""
    whole = math.floor(abs(number))
    return math.copysign(whole + (abs(number) - whole >= 0.5), number)


def _median(numbers: Sequence[float]) -> float:
    ordered, half = sorted(numbers), len(numbers) // 2
    if len(ordered) % 2:
        return float(ordered[half])
    return (ordered[half - 1] + ordered[half]) / 2


NUMBER_FUNCTIONS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = MappingProxyType(
    {
        "abs": lambda numbers: abs(numbers[0]),
        "ceil": lambda numbers: float(math.ceil(numbers[0])),
        "floor": lambda numbers: float(math.floor(numbers[0])),
        "round": lambda numbers: _rounded(numbers[0]),
        "int": lambda numbers: int(numbers[0]),
        "float": lambda numbers: float(numbers[0]),
        "max": max,
        "min": min,
        "mean": lambda numbers: sum(numbers) / len(numbers),
        "median": _median,
        "sum": sum,
        "len": len,
    }
)
"""Functions from numbers to one number."""

TRUTH_FUNCTIONS: Final[Mapping[str, Callable[[Sequence[bool]], float | bool]]] = MappingProxyType(
    {
        "count": sum,
        "all": all,
        "any": any,
        "none": lambda truths: not any(truths),
        "one": lambda truths: sum(truths) == 1,
    }
)
"""Functions of the results of a predicate for the elements of a list."""

MANY_ARGUMENTS: Final = frozenset({"max", "min", "mean", "median"})
"""Functions that take any number of arguments; the others take one."""
ONLY_LISTS: Final = frozenset({"sum", "len"})
"""Functions whose argument must be a list; for an empty list they return 0."""
WITH_PREDICATE: Final = frozenset(TRUTH_FUNCTIONS) | {"filter", "map", "sum"}
"""Functions that may have a predicate in braces."""
PREDICATE_OPTIONAL: Final = frozenset({"count", "sum"})
"""Functions of `WITH_PREDICATE` that may also be called without one."""
