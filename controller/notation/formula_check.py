"""Checks the names and the function calls of a formula once, before it is computed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from controller.notation.formula_functions import (
    MANY_ARGUMENTS,
    NUMBER_FUNCTIONS,
    PREDICATE_OPTIONAL,
    WITH_PREDICATE,
)
from controller.notation.formula_syntax import (
    Binary,
    Conditional,
    Expression,
    FormulaError,
    FormulaFault,
    FunctionCall,
    ListLiteral,
    Literal,
    Name,
    Unary,
    parse,
)

ELEMENT: Final = "#"
"""The name, inside a predicate, of the list element for which the predicate is computed."""
_MAX_ARGUMENTS: Final = 1000


class CheckedFormula(NamedTuple):
    """A formula with valid names and calls; `names` are the signals that it reads."""

    tree: Expression
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
    node: Expression, names: Collection[str] | None, found: dict[str, None], *, inside: bool
) -> None:
    """Check that names are signals, `#` is only in predicates, and functions exist."""
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
        case FunctionCall():
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


def _check_call(call: FunctionCall) -> None:
    name, predicate = call.function, call.predicate
    if name not in NUMBER_FUNCTIONS and name not in WITH_PREDICATE:
        raise FormulaError(FormulaFault.UNKNOWN_FUNCTION, call.at, f"unknown function {name}")
    if predicate is not None and name not in WITH_PREDICATE:
        raise FormulaError(FormulaFault.SYNTAX, call.at, f"{name} takes no predicate")
    if predicate is None and name in WITH_PREDICATE - PREDICATE_OPTIONAL:
        raise FormulaError(FormulaFault.SYNTAX, call.at, f"{name} needs a predicate in braces")
    most = _MAX_ARGUMENTS if name in MANY_ARGUMENTS else 1
    if not 1 <= len(call.arguments) <= most:
        raise FormulaError(
            FormulaFault.SYNTAX, call.at, f"{name} got {len(call.arguments)} arguments"
        )


def _parts(node: ListLiteral | Unary | Binary | Conditional) -> tuple[Expression, ...]:
    match node:
        case ListLiteral(_, items):
            return items
        case Unary(_, _, operand):
            return (operand,)
        case Binary(_, _, left, right):
            return left, right
        case Conditional(_, when, then, otherwise):
            return when, then, otherwise
