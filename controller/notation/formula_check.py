"""What a formula may name and call: checked once, before anything is computed.

Functions are those of expr-lang's builtin/builtin.go that give or take numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from controller.notation.formula_syntax import (
    Binary,
    Call,
    Conditional,
    FormulaError,
    FormulaFault,
    Items,
    Literal,
    Name,
    Node,
    Unary,
    parse,
)

ELEMENT: Final = "#"
"""The element that a predicate is asked about."""
VARIADIC: Final = frozenset({"max", "min", "mean", "median"})
ONLY_LISTS: Final = frozenset({"sum", "len"})
SCALARS: Final = VARIADIC | ONLY_LISTS | {"abs", "ceil", "floor", "round", "int", "float"}
"""Functions that give a number of numbers."""
OF_TRUTHS: Final = frozenset({"count", "all", "any", "none", "one"})
WITH_PREDICATE: Final = OF_TRUTHS | {"filter", "map", "sum"}

_MANY: Final = 1000
_PREDICATE_OPTIONAL: Final = frozenset({"count", "sum"})


class Checked(NamedTuple):
    """A formula whose names and calls are known; `names` are the signals it speaks of."""

    tree: Node
    names: tuple[str, ...]


def check(text: str, names: Collection[str] | None = None) -> Checked:
    """Read a formula over these signals, or over whatever it names. Raises FormulaError, also for
    a name that is none of them.
    """
    tree = parse(text)
    found: dict[str, None] = {}
    _check(tree, names, found, inside=False)
    return Checked(tree, tuple(found))


def _check(
    node: Node, names: Collection[str] | None, found: dict[str, None], *, inside: bool
) -> None:
    """Every name is a signal, `#` stands inside a predicate, every function is known."""
    match node:
        case Literal():
            return
        case Name(at, name):
            if name == ELEMENT:
                if not inside:
                    raise FormulaError(FormulaFault.SYNTAX, at, "'#' stands outside a predicate")
            elif names is not None and name not in names:
                raise FormulaError(FormulaFault.UNKNOWN_NAME, at, f"unknown name {name}")
            else:
                found[name] = None
        case Call():
            _check_call(node)
            for part in node.arguments:
                _check(part, names, found, inside=inside)
            if node.predicate is not None:
                if inside:
                    raise FormulaError(
                        FormulaFault.SYNTAX, node.at, "a predicate stands inside a predicate"
                    )
                _check(node.predicate, names, found, inside=True)
        case _:
            for part in _parts(node):
                _check(part, names, found, inside=inside)


def _check_call(call: Call) -> None:
    name, predicate = call.function, call.predicate
    if name not in SCALARS and name not in WITH_PREDICATE:
        raise FormulaError(FormulaFault.UNKNOWN_FUNCTION, call.at, f"unknown function {name}")
    if predicate is not None and name not in WITH_PREDICATE:
        raise FormulaError(FormulaFault.SYNTAX, call.at, f"{name} takes no predicate")
    if predicate is None and name in WITH_PREDICATE - _PREDICATE_OPTIONAL:
        raise FormulaError(FormulaFault.SYNTAX, call.at, f"{name} needs a predicate in braces")
    most = _MANY if name in VARIADIC else 1
    if not 1 <= len(call.arguments) <= most:
        raise FormulaError(
            FormulaFault.SYNTAX, call.at, f"{name} got {len(call.arguments)} arguments"
        )


def _parts(node: Items | Unary | Binary | Conditional) -> tuple[Node, ...]:
    match node:
        case Items(_, items):
            return items
        case Unary(_, _, operand):
            return (operand,)
        case Binary(_, _, left, right):
            return left, right
        case Conditional(_, when, then, otherwise):
            return when, then, otherwise
