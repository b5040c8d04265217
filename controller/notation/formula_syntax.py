"""The parser of formulas: from a text to a syntax tree, or an error with its position.

This is the part of expr-lang that people write in KEDA's scalingModifiers: numbers, names, nil and
lists; arithmetic, comparisons, logic, ?: and ??; function calls, some of them with a predicate over
`#`. Precedences are those of expr-lang's parser/operator/operator.go. Unlike in expr-lang, `_` is
not allowed between digits, as in all other numbers that agentdash reads.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from controller.model.value import INT64_MAX

MAX_FORMULA_CHARACTERS: Final = 4096
"""The most characters of a formula."""
LARGEST: Final = INT64_MAX
"""The largest integer of expr-lang."""
ELEMENT: Final = "#"
"""The name, inside a predicate, of the list element for which the predicate is computed."""
_MAX_DEPTH: Final = 100
_MAX_OPEN: Final = 200


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


class NodeKind(StrEnum):
    """The kinds of nodes in a syntax tree."""

    LITERAL = "literal"
    NAME = "name"
    LIST = "list"
    UNARY = "unary"
    BINARY = "binary"
    CONDITIONAL = "conditional"
    CALL = "call"


class SyntaxNode(NamedTuple):
    """A node of a syntax tree, which begins at the character `at`."""

    kind: NodeKind
    at: int
    word: str = ""  # the operator, the function, or the name: a signal, or `#` in a predicate
    parts: tuple[
        SyntaxNode, ...
    ] = ()  # operands, items, arguments; the condition and its two values
    value: float | bool | None = None  # of a literal
    predicate: SyntaxNode | None = (
        None  # of a call, computed for each element of the first argument
    )
    depth: int = 1


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


def parse(text: str) -> SyntaxNode:
    """Parse a formula into its syntax tree. Raises FormulaError."""
    if len(text) > MAX_FORMULA_CHARACTERS:
        raise FormulaError(
            FormulaFault.TOO_LONG,
            MAX_FORMULA_CHARACTERS,
            f"more than {MAX_FORMULA_CHARACTERS} characters",
        )
    parser = _Parser(_tokens(text))
    tree = parser.expression()
    parser.expect(_Kind.END)
    return tree


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


class _Parser:
    """Precedence climbing over a list of tokens."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._open = 0

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

    def expression(self) -> SyntaxNode:
        """An expression, including ?: conditionals, which have the lowest precedence."""
        self._enter()
        tree = self._operation(0)
        while (mark := self._accept("?")) is not None:
            then = self.expression()
            self.expect(_Kind.SIGN, ":")
            otherwise = self.expression()
            tree = _node(NodeKind.CONDITIONAL, mark, tree, then, otherwise)
        self._open -= 1
        return tree

    def _operation(self, least: int) -> SyntaxNode:
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
            right = self._operation(inside)
            left = _node(NodeKind.BINARY, token, left, right)
            before = token.text
        self._open -= 1
        return left

    def _operand(self) -> SyntaxNode:
        token = self._token
        if token.kind is _Kind.SIGN and token.text in _UNARY:
            self._next += 1
            operand = self._operation(_UNARY[token.text])
            return _node(NodeKind.UNARY, token, operand)
        if token.kind is _Kind.NUMBER:
            self._next += 1
            return SyntaxNode(NodeKind.LITERAL, token.at, value=_number(token))
        if token.kind is _Kind.NAME:
            self._next += 1
            return self._named(token)
        if self._accept(ELEMENT) is not None:
            return SyntaxNode(NodeKind.NAME, token.at, ELEMENT)
        if self._accept("(") is not None:
            tree = self.expression()
            self.expect(_Kind.SIGN, ")")
            return tree
        if self._accept("[") is not None:
            return _node(NodeKind.LIST, token, *self._until("]"))
        found = f"{token.text!r}" if token.text else "the end"
        raise FormulaError(FormulaFault.SYNTAX, token.at, f"a value expected, not {found}")

    def _named(self, token: _Token) -> SyntaxNode:
        if token.text in _CONSTANTS:
            return SyntaxNode(NodeKind.LITERAL, token.at, value=_CONSTANTS[token.text])
        if self._accept("(") is None:
            return SyntaxNode(NodeKind.NAME, token.at, token.text)
        arguments: list[SyntaxNode] = []
        predicate: SyntaxNode | None = None
        while self._accept(")") is None:
            if arguments:
                self.expect(_Kind.SIGN, ",")
            if arguments and self._accept("{") is not None:
                predicate = self.expression()
                self.expect(_Kind.SIGN, "}")
                self.expect(_Kind.SIGN, ")")
                break
            arguments.append(self.expression())
        return _node(NodeKind.CALL, token, *arguments, predicate=predicate)

    def _until(self, sign: str) -> tuple[SyntaxNode, ...]:
        items: list[SyntaxNode] = []
        while self._accept(sign) is None:
            if items:
                self.expect(_Kind.SIGN, ",")
            items.append(self.expression())
        return tuple(items)


def _node(
    kind: NodeKind, token: _Token, *parts: SyntaxNode, predicate: SyntaxNode | None = None
) -> SyntaxNode:
    """A node over these parts. The height of a tree is limited, because computing each level uses
    Python's stack.
    """
    below = parts if predicate is None else (*parts, predicate)
    depth = 1 + max((part.depth for part in below), default=0)
    if depth > _MAX_DEPTH:
        raise FormulaError(FormulaFault.TOO_LONG, token.at, "too many operators in a row")
    return SyntaxNode(kind, token.at, token.text, parts, predicate=predicate, depth=depth)


def _number(token: _Token) -> float:
    """The token's number; an int if it is written as one, because `%` takes only integers."""
    text = token.text
    if text[:2].lower() in {"0x", "0o", "0b"}:
        number: float = int(text, 0)
    else:
        number = int(text) if text.isdecimal() else float(text)
    if abs(number) > LARGEST:
        raise FormulaError(FormulaFault.NOT_A_NUMBER, token.at, "the number is too large")
    return number


def _rounded(number: float) -> float:
    """The nearest integer; halves are rounded away from zero."""
    whole = math.floor(abs(number))
    return math.copysign(whole + (abs(number) - whole >= 0.5), number)


def _median(numbers: Sequence[float]) -> float:
    ordered, half = sorted(numbers), len(numbers) // 2
    if len(ordered) % 2:
        return float(ordered[half])
    return (ordered[half - 1] + ordered[half]) / 2


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
    "median": _median,
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


_MAX_ARGUMENTS: Final = 1000


class CheckedFormula(NamedTuple):
    """A formula with valid names and calls; `names` are the signals that it reads."""

    tree: SyntaxNode
    names: tuple[str, ...]


def check(text: str, names: Collection[str] | None = None) -> CheckedFormula:
    """Parse a formula, whose signals must be in `names` unless that is None. Raises FormulaError,
    also for an unknown name.
    """
    tree = parse(text)
    found: dict[str, None] = {}
    _check(tree, names, found, inside=False)
    return CheckedFormula(tree, tuple(found))


def _check(
    node: SyntaxNode, names: Collection[str] | None, found: dict[str, None], *, inside: bool
) -> None:
    """Check that names are signals, `#` is only in predicates, and functions exist."""
    if node.kind is NodeKind.NAME:
        if node.word == ELEMENT:
            if not inside:
                raise FormulaError(FormulaFault.SYNTAX, node.at, "'#' stands outside a predicate")
        elif names is not None and node.word not in names:
            raise FormulaError(FormulaFault.UNKNOWN_NAME, node.at, f"unknown name {node.word}")
        else:
            found[node.word] = None
    if node.kind is NodeKind.CALL:
        _check_call(node)
    for part in node.parts:
        _check(part, names, found, inside=inside)
    if node.predicate is not None:
        if inside:
            text = "a predicate stands inside a predicate"
            raise FormulaError(FormulaFault.SYNTAX, node.at, text)
        _check(node.predicate, names, found, inside=True)


def _check_call(call: SyntaxNode) -> None:
    name, predicate, count = call.word, call.predicate, len(call.parts)
    if name not in NUMBER_FUNCTIONS and name not in WITH_PREDICATE:
        raise FormulaError(FormulaFault.UNKNOWN_FUNCTION, call.at, f"unknown function {name}")
    if predicate is not None and name not in WITH_PREDICATE:
        raise FormulaError(FormulaFault.SYNTAX, call.at, f"{name} takes no predicate")
    if predicate is None and name in WITH_PREDICATE - PREDICATE_OPTIONAL:
        raise FormulaError(FormulaFault.SYNTAX, call.at, f"{name} needs a predicate in braces")
    most = _MAX_ARGUMENTS if name in MANY_ARGUMENTS else 1
    if not 1 <= count <= most:
        raise FormulaError(FormulaFault.SYNTAX, call.at, f"{name} got {count} arguments")
