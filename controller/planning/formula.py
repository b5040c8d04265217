"""KEDA's scalingModifiers: one composite metric, computed from others by a formula.

Python's `eval` is never used. The semantics are those of expr-lang: `/` and `**` give floats, `%`
takes integers, logic takes booleans, and nil is not a number.

Source: kedacore/keda pkg/scaling/modifiers/formula.go.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from controller.model.value import INT64_MAX, MILLI
from controller.notation.formula_syntax import (
    ELEMENT,
    LARGEST,
    MANY_ARGUMENTS,
    NUMBER_FUNCTIONS,
    ONLY_LISTS,
    TRUTH_FUNCTIONS,
    CheckedFormula,
    FormulaError,
    FormulaFault,
    NodeKind,
    SyntaxNode,
)

_Value: TypeAlias = "float | bool | list[_Value] | None"
_Scope: TypeAlias = Mapping[str, _Value]

_LAZY: Final = frozenset({"??", "&&", "||"})


def compute(formula: CheckedFormula, values: Mapping[str, float | None]) -> float:
    """The number for these metrics, None being nil. Raises FormulaError."""
    number = float(_number(_eval(formula.tree, values), formula.tree))
    if not math.isfinite(number):
        raise FormulaError(FormulaFault.NOT_A_NUMBER, 0, f"the result is {number}")
    return number


def composite_milli(formula: CheckedFormula, values_milli: Mapping[str, int | None]) -> int:
    """The composite metric in thousandths, truncated. A metric that is None is nil.

    Raises FormulaError: if a number is missing, infinite or too large for a quantity, the whole
    formula fails; there is no partial result.
    """
    values = {
        name: None if milli is None else milli / MILLI for name, milli in values_milli.items()
    }
    result = compute(formula, values)
    milli = result * MILLI
    if abs(milli) > INT64_MAX:
        raise FormulaError(FormulaFault.NOT_A_NUMBER, 0, f"the result is {result}")
    return int(milli)


def _eval(node: SyntaxNode, scope: _Scope) -> _Value:
    value: _Value
    match node.kind:
        case NodeKind.LITERAL:
            value = node.value
        case NodeKind.NAME:
            if node.word not in scope:
                raise FormulaError(FormulaFault.UNKNOWN_NAME, node.at, f"no value for {node.word}")
            value = scope[node.word]
        case NodeKind.LIST:
            value = [_eval(item, scope) for item in node.parts]
        case NodeKind.CONDITIONAL:
            when, then, otherwise = node.parts
            value = _eval(then if _truth(_eval(when, scope), when) else otherwise, scope)
        case NodeKind.UNARY:
            value = _unary(node, scope)
        case NodeKind.BINARY:
            value = (_lazy if node.word in _LAZY else _binary)(node, scope)
        case NodeKind.CALL:
            value = _call(node, scope)
    if isinstance(value, int) and abs(value) > LARGEST:
        raise FormulaError(FormulaFault.NOT_A_NUMBER, node.at, "the number is too large")
    return value


def _unary(node: SyntaxNode, scope: _Scope) -> _Value:
    (operand,) = node.parts
    value = _eval(operand, scope)
    if node.word == "!":
        return not _truth(value, operand)
    number = _number(value, operand)
    return -number if node.word == "-" else number


def _lazy(node: SyntaxNode, scope: _Scope) -> _Value:
    """Operators whose right side is computed only if the left side does not decide."""
    first, second = node.parts
    left = _eval(first, scope)
    if node.word == "??":
        return _eval(second, scope) if left is None else left
    decided = node.word == "||"
    if _truth(left, first) is decided:
        return decided
    return _truth(_eval(second, scope), second)


def _binary(node: SyntaxNode, scope: _Scope) -> _Value:
    first, second = node.parts
    left, right = _eval(first, scope), _eval(second, scope)
    if node.word in {"==", "!="}:
        return _equal(left, right) is (node.word == "==")
    a, b = _number(left, first), _number(right, second)
    if node.word != "%":
        return _OF_TWO[node.word](a, b)
    if isinstance(a, float) or isinstance(b, float):
        text = "% takes integers: write int(a) % int(b)"
        raise FormulaError(FormulaFault.WRONG_TYPE, node.at, text)
    if b == 0:
        raise FormulaError(FormulaFault.NOT_A_NUMBER, node.at, "integer divide by zero")
    rest = abs(a) % abs(b)  # with the sign of the dividend
    return rest if a >= 0 else -rest


def _divided(a: float, b: float) -> float:
    """IEEE division: division by zero gives an infinity, or NaN for 0/0."""
    a, b = float(a), float(b)
    if b != 0.0:
        return a / b
    if a == 0.0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _power(a: float, b: float) -> float:
    """Go's math.Pow: NaN if there is no real result, an infinity if it is too large."""
    try:
        return math.pow(a, b)
    except OverflowError:
        odd = float(b).is_integer() and b % 2 == 1
        return -math.inf if a < 0 and odd else math.inf
    except ValueError:
        return math.inf if a == 0.0 else math.nan


_OF_TWO: Final[Mapping[str, Callable[[float, float], float | bool]]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "**": _power,
    "^": _power,
}


def _equal(left: _Value, right: _Value) -> bool:
    """Nil equals only nil, a boolean only a boolean, and 1 equals 1.0."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return left == right


def _call(call: SyntaxNode, scope: _Scope) -> _Value:
    if call.predicate is not None or call.word in TRUTH_FUNCTIONS:
        return _over_elements(call, scope)
    numbers = _flat(call, [_eval(argument, scope) for argument in call.parts])
    if not numbers and call.word not in ONLY_LISTS:
        raise FormulaError(FormulaFault.WRONG_TYPE, call.at, f"{call.word} of nothing has no value")
    try:
        return NUMBER_FUNCTIONS[call.word](numbers)
    except (OverflowError, ValueError) as error:
        # int, ceil and the like fail for an infinity or NaN
        raise FormulaError(FormulaFault.NOT_A_NUMBER, call.at, f"{call.word}: {error}") from error


def _flat(call: SyntaxNode, arguments: Sequence[_Value]) -> list[float]:
    """The arguments as numbers; a list counts as its elements if the function takes lists."""
    numbers: list[float] = []
    for argument, node in zip(arguments, call.parts, strict=True):
        if isinstance(argument, list):
            if call.word not in MANY_ARGUMENTS | ONLY_LISTS:
                raise FormulaError(FormulaFault.WRONG_TYPE, node.at, f"{call.word} takes no list")
            numbers.extend(_number(item, node) for item in _flattened(argument))
        elif call.word in ONLY_LISTS:
            raise FormulaError(FormulaFault.WRONG_TYPE, node.at, f"{call.word} takes a list")
        else:
            numbers.append(_number(argument, node))
    return numbers


def _flattened(items: list[_Value]) -> list[_Value]:
    flat: list[_Value] = []
    for item in items:
        flat.extend(_flattened(item) if isinstance(item, list) else [item])
    return flat


def _over_elements(call: SyntaxNode, scope: _Scope) -> _Value:
    """count, all, any and the like: evaluates the predicate for each element."""
    node = call.parts[0]
    items = _eval(node, scope)
    if not isinstance(items, list):
        raise FormulaError(FormulaFault.WRONG_TYPE, node.at, f"{call.word} takes a list")
    predicate = call.predicate
    if predicate is None:
        return sum(_truth(item, node) for item in items)
    answers = [_eval(predicate, {**scope, ELEMENT: item}) for item in items]
    if call.word == "sum":
        return sum(_number(answer, predicate) for answer in answers)
    if call.word == "map":
        return answers
    truths = [_truth(answer, predicate) for answer in answers]
    if call.word == "filter":
        return [item for item, kept in zip(items, truths, strict=True) if kept]
    return TRUTH_FUNCTIONS[call.word](truths)


def _number(value: _Value, node: SyntaxNode) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormulaError(
            FormulaFault.WRONG_TYPE, node.at, f"{_kind(value)} stands where a number should"
        )
    return value


def _truth(value: _Value, node: SyntaxNode) -> bool:
    if not isinstance(value, bool):
        raise FormulaError(
            FormulaFault.WRONG_TYPE, node.at, f"{_kind(value)} stands where true or false should"
        )
    return value


def _kind(value: _Value) -> str:
    match value:
        case None:
            return "nil"
        case bool():
            return "true or false"
        case list():
            return "a list"
        case _:
            return "a number"
