"""KEDA's scalingModifiers: one composite metric, computed from others by a formula.

Python's `eval` is never used. The semantics are those of expr-lang: `/` and `**` give floats, `%`
takes integers, logic takes booleans, and nil is not a number.

Source: kedacore/keda pkg/scaling/modifiers/formula.go.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from controller.model.value import INT64_MAX, MILLI
from controller.notation.formula_syntax import (
    ELEMENT,
    LARGEST,
    MANY_ARGUMENTS,
    NUMBER_FUNCTIONS,
    ONLY_LISTS,
    TRUTH_FUNCTIONS,
    Binary,
    Conditional,
    FormulaError,
    FormulaFault,
    Literal,
    Name,
    Unary,
    check,
)
from controller.notation.formula_syntax import Expression as Node
from controller.notation.formula_syntax import FunctionCall as Call
from controller.notation.formula_syntax import ListLiteral as Items

_Value: TypeAlias = "float | bool | list[_Value] | None"
_Scope: TypeAlias = Mapping[str, _Value]

_LAZY: Final = frozenset({"??", "&&", "||"})


class Formula(NamedTuple):
    """A formula that has been read; `names` are the metrics it uses, each once."""

    names: tuple[str, ...]
    tree: Node

    def compute(self, values: Mapping[str, float | None]) -> float:
        """The number for these metrics, None being nil. Raises FormulaError."""
        result = _eval(self.tree, values)
        number = float(_number(result, self.tree))
        if not math.isfinite(number):
            raise FormulaError(FormulaFault.NOT_A_NUMBER, 0, f"the result is {number}")
        return number


def compile_formula(text: str, names: Collection[str] | None = None) -> Formula:
    """Read a formula over these metrics, or over any that it names. Raises FormulaError, also for a
    name that is none of them.
    """
    checked = check(text, names)
    return Formula(names=checked.names, tree=checked.tree)


def composite_milli(formula: Formula, values_milli: Mapping[str, int | None]) -> int:
    """The composite metric in thousandths, truncated. A metric that is None is nil.

    Raises FormulaError: if a number is missing, infinite or too large for a quantity, the whole
    formula fails; there is no partial result.
    """
    result = formula.compute(
        {name: None if milli is None else milli / MILLI for name, milli in values_milli.items()}
    )
    milli = result * MILLI
    if abs(milli) > INT64_MAX:
        raise FormulaError(FormulaFault.NOT_A_NUMBER, 0, f"the result is {result}")
    return int(milli)


def _eval(node: Node, scope: _Scope) -> _Value:
    value: _Value
    match node:
        case Literal():
            value = node.value
        case Name():
            if node.name not in scope:
                raise FormulaError(FormulaFault.UNKNOWN_NAME, node.at, f"no value for {node.name}")
            value = scope[node.name]
        case Items():
            value = [_eval(item, scope) for item in node.items]
        case Conditional():
            holds = _truth(_eval(node.when, scope), node.when)
            value = _eval(node.then if holds else node.otherwise, scope)
        case Unary(operator="!"):
            value = not _truth(_eval(node.operand, scope), node.operand)
        case Unary():
            number = _number(_eval(node.operand, scope), node.operand)
            value = -number if node.operator == "-" else number
        case Binary():
            value = (_lazy if node.operator in _LAZY else _binary)(node, scope)
        case Call():
            value = _call(node, scope)
    if isinstance(value, int) and abs(value) > LARGEST:
        raise FormulaError(FormulaFault.NOT_A_NUMBER, node.at, "the number is too large")
    return value


def _lazy(node: Binary, scope: _Scope) -> _Value:
    """Operators whose right side is computed only if the left side does not decide."""
    left = _eval(node.left, scope)
    if node.operator == "??":
        return _eval(node.right, scope) if left is None else left
    decided = node.operator == "||"
    if _truth(left, node.left) is decided:
        return decided
    return _truth(_eval(node.right, scope), node.right)


def _binary(node: Binary, scope: _Scope) -> _Value:
    left, right = _eval(node.left, scope), _eval(node.right, scope)
    if node.operator in {"==", "!="}:
        return _equal(left, right) is (node.operator == "==")
    a, b = _number(left, node.left), _number(right, node.right)
    if node.operator != "%":
        return _OF_TWO[node.operator](a, b)
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


def _call(call: Call, scope: _Scope) -> _Value:
    if call.predicate is not None or call.function in TRUTH_FUNCTIONS:
        return _over_elements(call, scope)
    numbers = _flat(call, [_eval(argument, scope) for argument in call.arguments])
    if not numbers and call.function not in ONLY_LISTS:
        raise FormulaError(
            FormulaFault.WRONG_TYPE, call.at, f"{call.function} of nothing has no value"
        )
    try:
        return NUMBER_FUNCTIONS[call.function](numbers)
    except (OverflowError, ValueError) as error:
        # int, ceil and the like fail for an infinity or NaN
        raise FormulaError(
            FormulaFault.NOT_A_NUMBER, call.at, f"{call.function}: {error}"
        ) from error


def _flat(call: Call, arguments: Sequence[_Value]) -> list[float]:
    """The arguments as numbers; a list counts as its elements if the function takes lists."""
    numbers: list[float] = []
    for argument, node in zip(arguments, call.arguments, strict=True):
        if isinstance(argument, list):
            if call.function not in MANY_ARGUMENTS | ONLY_LISTS:
                raise FormulaError(
                    FormulaFault.WRONG_TYPE, node.at, f"{call.function} takes no list"
                )
            numbers.extend(_number(item, node) for item in _flattened(argument))
        elif call.function in ONLY_LISTS:
            raise FormulaError(FormulaFault.WRONG_TYPE, node.at, f"{call.function} takes a list")
        else:
            numbers.append(_number(argument, node))
    return numbers


def _flattened(items: list[_Value]) -> list[_Value]:
    flat: list[_Value] = []
    for item in items:
        flat.extend(_flattened(item) if isinstance(item, list) else [item])
    return flat


def _over_elements(call: Call, scope: _Scope) -> _Value:
    """count, all, any and the like: evaluates the predicate for each element."""
    node = call.arguments[0]
    items = _eval(node, scope)
    if not isinstance(items, list):
        raise FormulaError(FormulaFault.WRONG_TYPE, node.at, f"{call.function} takes a list")
    predicate = call.predicate
    if predicate is None:
        return sum(_truth(item, node) for item in items)
    answers = [_eval(predicate, {**scope, ELEMENT: item}) for item in items]
    if call.function == "sum":
        return sum(_number(answer, predicate) for answer in answers)
    if call.function == "map":
        return answers
    truths = [_truth(answer, predicate) for answer in answers]
    if call.function == "filter":
        return [item for item, kept in zip(items, truths, strict=True) if kept]
    return TRUTH_FUNCTIONS[call.function](truths)


def _number(value: _Value, node: Node) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormulaError(
            FormulaFault.WRONG_TYPE, node.at, f"{_kind(value)} stands where a number should"
        )
    return value


def _truth(value: _Value, node: Node) -> bool:
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
