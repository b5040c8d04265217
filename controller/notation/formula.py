"""KEDA's scalingModifiers: one composite metric, computed from others by a formula.

This is the part of expr-lang that people write there: numbers, names, nil and lists; arithmetic,
comparisons, logic, ?: and ??; function calls, some of them with a predicate over `#`. Precedences
are those of expr-lang's parser/operator/operator.go, semantics too: `/` and `**` give floats, `%`
takes integers, logic takes booleans, and nil is not a number. Unlike in expr-lang, `_` is not
allowed between digits, as in all other numbers that agentdash reads. Python's own parser knows
neither ?: nor ?? nor predicates, and its `eval` is never used.

Source: kedacore/keda pkg/scaling/modifiers/formula.go.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from controller.model.value import INT64_MAX, MILLI

_Value: TypeAlias = "float | bool | list[_Value] | None"
_Scope: TypeAlias = Mapping[str, _Value]

MAX_FORMULA_CHARACTERS: Final = 4096
"""The most characters of a formula."""
_LARGEST: Final = INT64_MAX  # the largest integer of expr-lang
_ELEMENT: Final = "#"  # in a predicate: the element of the list for which it is computed
_MAX_DEPTH: Final = 100
_MAX_OPEN: Final = 200
_MAX_ARGUMENTS: Final = 1000


class FormulaFault(StrEnum):
    """The kinds of errors in a formula."""

    SYNTAX = "syntax"
    TOO_LONG = "too_long"
    UNKNOWN_NAME = "unknown_name"
    UNKNOWN_FUNCTION = "unknown_function"
    WRONG_TYPE = "wrong_type"
    NOT_A_NUMBER = "not_a_number"


class FormulaError(ValueError):
    """A formula that cannot be parsed or computed; `position` is the character's index from 0."""

    def __init__(self, fault: FormulaFault, position: int, text: str) -> None:
        super().__init__(f"{text} (at character {position + 1})")
        self.fault = fault
        self.position = position


class Formula(NamedTuple):
    """A formula with valid names and calls; `names` are the signals that it reads, once each."""

    compute: Callable[[_Scope], float]
    names: tuple[str, ...]


def read_formula(text: str) -> Formula:
    """Read a formula. Raises FormulaError; a mistake of syntax is told first."""
    if len(text) > MAX_FORMULA_CHARACTERS:
        raise FormulaError(
            FormulaFault.TOO_LONG,
            MAX_FORMULA_CHARACTERS,
            f"more than {MAX_FORMULA_CHARACTERS} characters",
        )
    parser = _Parser(_tokens(text))
    whole = parser.expression()
    parser.expect(_Kind.END)
    if parser.faults:
        raise min(parser.faults, key=lambda fault: fault.position)
    return Formula(whole.number, tuple(parser.found))


def compute(formula: Formula, values: Mapping[str, float | None]) -> float:
    """The number for these metrics, None being nil. Raises FormulaError."""
    number = float(formula.compute(values))
    if not math.isfinite(number):
        raise FormulaError(FormulaFault.NOT_A_NUMBER, 0, f"the result is {number}")
    return number


def composite_milli(formula: Formula, values_milli: Mapping[str, int | None]) -> int:
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


class _Kind(StrEnum):
    NUMBER = "number"
    NAME = "name"
    SIGN = "sign"
    END = "end"


class _Token(NamedTuple):
    kind: _Kind
    text: str
    at: int


_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<number>0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+
      |(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
  | (?P<sign>\?\?|\*\*|==|!=|<=|>=|&&|\|\||[-+*/%^<>!?:(){}\[\],#])
    """,
    re.VERBOSE | re.DOTALL,
)
_GLUED: Final = re.compile(r"[\w$.]{1,20}")  # not allowed directly after a number
_WORDS: Final = {"and": "&&", "or": "||", "not": "!"}
_CONSTANTS: Final = {"true": True, "false": False, "nil": None}
_UNARY: Final = {"!": 50, "-": 90, "+": 90}
_COALESCE: Final = "??"
# an operator with a higher number binds tighter; powers are right-associative
_BINARY: Final = {
    "||": 10,
    "&&": 15,
    "==": 20,
    "!=": 20,
    "<": 20,
    ">": 20,
    "<=": 20,
    ">=": 20,
    "+": 30,
    "-": 30,
    "*": 60,
    "/": 60,
    "%": 60,
    "**": 100,
    "^": 100,
    _COALESCE: 500,
}
_FROM_THE_RIGHT: Final = frozenset({"**", "^"})


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise FormulaError(FormulaFault.SYNTAX, at, f"{text[at]!r} is not understood")
        word = found.group()
        if found.lastgroup == "name" and word in _WORDS:
            tokens.append(_Token(_Kind.SIGN, _WORDS[word], at))
        elif found.lastgroup is not None and found.lastgroup != "space":
            tokens.append(_Token(_Kind(found.lastgroup), word, at))
        at = found.end()
        if found.lastgroup == "number" and (more := _GLUED.match(text, at)):
            raise FormulaError(FormulaFault.SYNTAX, at, f"{word}{more.group()} is not a number")
    tokens.append(_Token(_Kind.END, "", len(text)))
    return tokens


class _Operand(NamedTuple):
    """A part of a formula, which begins at the character `at`: its value, and its height."""

    at: int
    value: Callable[[_Scope], _Value]
    depth: int = 1

    def number(self, scope: _Scope) -> float:
        return _number(self.value(scope), self)

    def truth(self, scope: _Scope) -> bool:
        return _truth(self.value(scope), self)


class _Parser:
    """Precedence climbing over a list of tokens. `faults` are the calls that cannot be;
    `found` has the names of signals, in the order in which they stand.
    """

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._open = 0
        self._in_predicate = False
        self.faults: list[FormulaError] = []
        self.found: dict[str, None] = {}

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def expect(self, kind: _Kind, text: str = "") -> _Token:
        token = self._token
        if token.kind is not kind or (text and token.text != text):
            found = f"{token.text!r}" if token.text else "the end"
            wanted = f"{text!r}" if text else f"the {kind.value}"
            raise FormulaError(FormulaFault.SYNTAX, token.at, f"{wanted} expected, not {found}")
        self._next += 1
        return token

    def _accept(self, sign: str) -> _Token | None:
        token = self._token
        if token.kind is not _Kind.SIGN or token.text != sign:
            return None
        self._next += 1
        return token

    def _enter(self) -> None:
        """Count one more level of nesting. It is limited, as each level uses Python's stack."""
        self._open += 1
        if self._open > _MAX_OPEN:
            raise FormulaError(FormulaFault.TOO_LONG, self._token.at, "nested too deeply")

    def expression(self) -> _Operand:
        """An expression, including ?: conditionals, which have the lowest precedence."""
        self._enter()
        part = self._operation(0)
        while (mark := self._accept("?")) is not None:
            when, then = part, self.expression()
            self.expect(_Kind.SIGN, ":")
            part = _conditional(mark, when, then, self.expression())
        self._open -= 1
        return part

    def _operation(self, least: int) -> _Operand:
        self._enter()
        left = self._operand()
        before = ""
        while self._token.kind is _Kind.SIGN and self._token.text in _BINARY:
            token = self._token
            precedence = _BINARY[token.text]
            if precedence < least:
                break
            if before == _COALESCE and token.text != _COALESCE:
                raise FormulaError(
                    FormulaFault.SYNTAX, token.at, f"{token.text!r} beside '??' needs parentheses"
                )
            self._next += 1
            inside = precedence if token.text in _FROM_THE_RIGHT else precedence + 1
            left = _of_two(token, left, self._operation(inside))
            before = token.text
        self._open -= 1
        return left

    def _operand(self) -> _Operand:
        token = self._token
        if token.kind is _Kind.SIGN and token.text in _UNARY:
            self._next += 1
            return _of_one(token, self._operation(_UNARY[token.text]))
        if token.kind is _Kind.NUMBER:
            self._next += 1
            number = _literal(token)
            return _Operand(token.at, lambda _: number)
        if token.kind is _Kind.NAME:
            self._next += 1
            return self._named(token)
        if self._accept(_ELEMENT) is not None:
            if not self._in_predicate:
                self._fault(FormulaFault.SYNTAX, token, "'#' stands outside a predicate")
            return _Operand(token.at, _element)
        if self._accept("(") is not None:
            part = self.expression()
            self.expect(_Kind.SIGN, ")")
            return part
        if self._accept("[") is not None:
            items: list[_Operand] = []
            while self._accept("]") is None:
                if items:
                    self.expect(_Kind.SIGN, ",")
                items.append(self.expression())
            return _part(token, lambda scope: [each.value(scope) for each in items], *items)
        found = f"{token.text!r}" if token.text else "the end"
        raise FormulaError(FormulaFault.SYNTAX, token.at, f"a value expected, not {found}")

    def _named(self, token: _Token) -> _Operand:
        """A constant, a signal or a call."""
        name = token.text
        if name in _CONSTANTS:
            return _Operand(token.at, lambda _: _CONSTANTS[name])
        if self._accept("(") is not None:
            return self._call(token)
        self.found[name] = None

        def value(scope: _Scope) -> _Value:
            if name not in scope:
                raise FormulaError(FormulaFault.UNKNOWN_NAME, token.at, f"no value for {name}")
            return scope[name]

        return _Operand(token.at, value)

    def _call(self, token: _Token) -> _Operand:
        name = token.text
        arguments: list[_Operand] = []
        predicate: _Operand | None = None
        while self._accept(")") is None:
            if arguments:
                self.expect(_Kind.SIGN, ",")
            if arguments and self._accept("{") is not None:
                if self._in_predicate:
                    text = "a predicate stands inside a predicate"
                    self._fault(FormulaFault.SYNTAX, token, text)
                outside, self._in_predicate = self._in_predicate, True
                predicate = self.expression()
                self._in_predicate = outside
                self.expect(_Kind.SIGN, "}")
                self.expect(_Kind.SIGN, ")")
                break
            arguments.append(self.expression())
        if name not in NUMBER_FUNCTIONS and name not in WITH_PREDICATE:
            self._fault(FormulaFault.UNKNOWN_FUNCTION, token, f"unknown function {name}")
        elif predicate is not None and name not in WITH_PREDICATE:
            self._fault(FormulaFault.SYNTAX, token, f"{name} takes no predicate")
        elif predicate is None and name in WITH_PREDICATE - PREDICATE_OPTIONAL:
            self._fault(FormulaFault.SYNTAX, token, f"{name} needs a predicate in braces")
        elif not 1 <= len(arguments) <= (_MAX_ARGUMENTS if name in MANY_ARGUMENTS else 1):
            self._fault(FormulaFault.SYNTAX, token, f"{name} got {len(arguments)} arguments")
        elif predicate is not None:
            return _over_elements(token, arguments[0], predicate)
        elif name in TRUTH_FUNCTIONS:
            return _over_elements(token, arguments[0], _Operand(arguments[0].at, _element))
        return _part(token, lambda scope: _of_numbers(token, arguments, scope), *arguments)

    def _fault(self, fault: FormulaFault, token: _Token, text: str) -> None:
        self.faults.append(FormulaError(fault, token.at, text))


def _part(token: _Token, value: Callable[[_Scope], _Value], *below: _Operand) -> _Operand:
    """A part of others; its height is limited, as it is computed on Python's stack."""
    depth = 1 + max((each.depth for each in below), default=0)
    if depth > _MAX_DEPTH:
        raise FormulaError(FormulaFault.TOO_LONG, token.at, "too many operators in a row")

    def limited(scope: _Scope) -> _Value:
        found = value(scope)
        if isinstance(found, int) and abs(found) > _LARGEST:
            raise FormulaError(FormulaFault.NOT_A_NUMBER, token.at, "the number is too large")
        return found

    return _Operand(token.at, limited, depth)


def _literal(token: _Token) -> float:
    """The token's number; an int if it is written as one, because `%` takes only integers."""
    text = token.text
    if text[:2].lower() in {"0x", "0o", "0b"}:
        number: float = int(text, 0)
    else:
        number = int(text) if text.isdecimal() else float(text)
    if abs(number) > _LARGEST:
        raise FormulaError(FormulaFault.NOT_A_NUMBER, token.at, "the number is too large")
    return number


def _conditional(mark: _Token, when: _Operand, then: _Operand, otherwise: _Operand) -> _Operand:
    def value(scope: _Scope) -> _Value:
        return (then if when.truth(scope) else otherwise).value(scope)

    return _part(mark, value, when, then, otherwise)


def _of_one(token: _Token, operand: _Operand) -> _Operand:
    def value(scope: _Scope) -> _Value:
        if token.text == "!":
            return not operand.truth(scope)
        number = operand.number(scope)
        return -number if token.text == "-" else number

    return _part(token, value, operand)


def _of_two(token: _Token, first: _Operand, second: _Operand) -> _Operand:
    """The right side of ??, && and || is computed only if the left side does not decide."""
    sign, decided = token.text, token.text == "||"

    def lazy(scope: _Scope) -> _Value:
        if sign != _COALESCE:
            return decided if first.truth(scope) is decided else second.truth(scope)
        left = first.value(scope)
        return second.value(scope) if left is None else left

    def value(scope: _Scope) -> _Value:
        left, right = first.value(scope), second.value(scope)
        if sign in {"==", "!="}:
            return _equal(left, right) is (sign == "==")
        a, b = _number(left, first), _number(right, second)
        return _rest(token, a, b) if sign == "%" else _ARITHMETIC[sign](a, b)

    return _part(token, lazy if sign in {_COALESCE, "&&", "||"} else value, first, second)


def _rest(token: _Token, a: float, b: float) -> float:
    if isinstance(a, float) or isinstance(b, float):
        text = "% takes integers: write int(a) % int(b)"
        raise FormulaError(FormulaFault.WRONG_TYPE, token.at, text)
    if b == 0:
        raise FormulaError(FormulaFault.NOT_A_NUMBER, token.at, "integer divide by zero")
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


_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float | bool]]] = {
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


def _rounded(number: float) -> float:
    """The nearest integer; halves are rounded away from zero."""
    whole = math.floor(abs(number))
    return math.copysign(whole + (abs(number) - whole >= 0.5), number)


NUMBER_FUNCTIONS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "abs": lambda numbers: abs(numbers[0]),
    "ceil": lambda numbers: float(math.ceil(numbers[0])),
    "floor": lambda numbers: float(math.floor(numbers[0])),
    "round": lambda numbers: _rounded(numbers[0]),
    "int": lambda numbers: int(numbers[0]),
    "float": lambda numbers: float(numbers[0]),
    "max": max,
    "min": min,
    "mean": lambda numbers: sum(numbers) / len(numbers),
    "median": median,
    "sum": sum,
    "len": len,
}
"""Functions from numbers to one number."""

TRUTH_FUNCTIONS: Final[Mapping[str, Callable[[Sequence[bool]], float | bool]]] = {
    "count": sum,
    "all": all,
    "any": any,
    "none": lambda truths: not any(truths),
    "one": lambda truths: sum(truths) == 1,
}
"""Functions of the results of a predicate for the elements of a list."""

MANY_ARGUMENTS: Final = frozenset({"max", "min", "mean", "median"})
"""Functions that take any number of arguments; the others take one."""
ONLY_LISTS: Final = frozenset({"sum", "len"})
"""Functions whose argument must be a list; for an empty list they return 0."""
WITH_PREDICATE: Final = frozenset(TRUTH_FUNCTIONS) | {"filter", "map", "sum"}
"""Functions that may have a predicate in braces."""
PREDICATE_OPTIONAL: Final = frozenset({"count", "sum"})
"""Functions of `WITH_PREDICATE` that may also be called without one."""


def _of_numbers(token: _Token, arguments: Sequence[_Operand], scope: _Scope) -> _Value:
    """A function of numbers; a list counts as its elements if the function takes lists."""
    name, numbers = token.text, list[float]()
    values = [each.value(scope) for each in arguments]
    for part, value in zip(arguments, values, strict=True):
        if isinstance(value, list):
            if name not in MANY_ARGUMENTS | ONLY_LISTS:
                raise FormulaError(FormulaFault.WRONG_TYPE, part.at, f"{name} takes no list")
            numbers.extend(_number(item, part) for item in _flattened(value))
        elif name in ONLY_LISTS:
            raise FormulaError(FormulaFault.WRONG_TYPE, part.at, f"{name} takes a list")
        else:
            numbers.append(_number(value, part))
    if not numbers and name not in ONLY_LISTS:
        raise FormulaError(FormulaFault.WRONG_TYPE, token.at, f"{name} of nothing has no value")
    try:
        return NUMBER_FUNCTIONS[name](numbers)
    except (OverflowError, ValueError) as error:
        # int, ceil and the like fail for an infinity or NaN
        raise FormulaError(FormulaFault.NOT_A_NUMBER, token.at, f"{name}: {error}") from error


def _flattened(items: list[_Value]) -> list[_Value]:
    flat: list[_Value] = []
    for item in items:
        flat.extend(_flattened(item) if isinstance(item, list) else [item])
    return flat


def _over_elements(token: _Token, items_of: _Operand, predicate: _Operand) -> _Operand:
    """count, all, any and the like: computes the predicate for each element."""
    name = token.text

    def value(scope: _Scope) -> _Value:
        items = items_of.value(scope)
        if not isinstance(items, list):
            raise FormulaError(FormulaFault.WRONG_TYPE, items_of.at, f"{name} takes a list")
        answers = [predicate.value({**scope, _ELEMENT: item}) for item in items]
        if name == "sum":
            return sum(_number(answer, predicate) for answer in answers)
        if name == "map":
            return answers
        truths = [_truth(answer, predicate) for answer in answers]
        if name == "filter":
            return [item for item, kept in zip(items, truths, strict=True) if kept]
        return TRUTH_FUNCTIONS[name](truths)

    return _part(token, value, items_of, predicate)


def _element(scope: _Scope) -> _Value:
    return scope[_ELEMENT]


def _number(value: _Value, part: _Operand) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = f"{_kind(value)} stands where a number should"
        raise FormulaError(FormulaFault.WRONG_TYPE, part.at, text)
    return value


def _truth(value: _Value, part: _Operand) -> bool:
    if not isinstance(value, bool):
        text = f"{_kind(value)} stands where true or false should"
        raise FormulaError(FormulaFault.WRONG_TYPE, part.at, text)
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
