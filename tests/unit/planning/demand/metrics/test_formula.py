"""Formulas over triggers: what they compute, and the position of a mistake."""

from __future__ import annotations

import pytest

from controller.notation import formula as formulas
from controller.notation.formula import (
    MAX_FORMULA_CHARACTERS,
    NUMBER_FUNCTIONS,
    ONLY_LISTS,
    WITH_PREDICATE,
    FormulaError,
    FormulaFault,
    composite_milli,
    read_formula,
)
from support.table import tabled

TRIGGERS = {"queue": 2.0, "backlog": 5.0, "gone": None}


def compute(text: str) -> float:
    return formulas.compute(read_formula(text), TRIGGERS)


def fault_of(text: str) -> tuple[FormulaFault, int]:
    with pytest.raises(FormulaError) as caught:
        compute(text)
    return caught.value.fault, caught.value.position


@tabled(
    ("text", "result"),
    [
        ("(queue + backlog) / 2", 3.5),
        ("queue + backlog * 3 - 1", 16),
        ("7 / 2", 3.5),
        ("int(backlog) % 3", 2),
        ("-5 % 3", -2),
        ("10 - 3 - 2", 5),
        ("16 / 4 / 2", 2),
        ("0x1F + 1000 + .5 + 1e2", 1131.5),
        ("queue // the first\n + /* and */ 1", 3),
    ],
)
def test_arithmetic(text: str, result: float) -> None:
    assert compute(text) == result


@tabled(
    ("text", "result"),
    [
        ("2 ** 3 ** 2", 512),  # from the right
        ("2 ^ 3", 8),
        ("-queue ** 2", -4),  # a power binds tighter than a sign
        ("-queue + 3", 1),
        ("2 * -queue", -4),
        ("1 + gone ?? 7", 8),  # ?? binds tightest of all
        ("gone ?? gone ?? 4", 4),
        ("queue > 1 || backlog > 1 && false ? 1 : 0", 1),  # && before ||
        ("!(queue > 1) == false ? 1 : 0", 1),
        ("not (queue > 1) and true ? 1 : 0", 0),
        ("false ? 1 : true ? 2 : 3", 2),
        ("queue == 2 ? backlog : 0", 5),
        ("1 + 1 == 2 ? 10 : 20", 10),
    ],
)
def test_precedence_is_that_of_expr_lang(text: str, result: float) -> None:
    assert compute(text) == result


@tabled(
    ("text", "result"),
    [
        ("max(queue, backlog)", 5),
        ("min([queue, backlog, 1])", 1),
        ("max(queue, [backlog, 9])", 9),
        ("abs(queue - backlog)", 3),
        ("ceil(queue / 3)", 1),
        ("floor(backlog / 3)", 1),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("int(2.9)", 2),
        ("float(3) / 2", 1.5),
        ("sum([queue, backlog])", 7),
        ("sum([])", 0),
        ("sum([queue, backlog], {# * 2})", 14),
        ("mean([queue, backlog])", 3.5),
        ("median([9, 1, 2])", 2),
        ("len([queue, backlog])", 2),
        ("count([queue > 1, backlog > 9])", 1),
        ("count([queue, backlog], {# > 3}) >= 1 ? 5 : 0", 5),
        ("all([queue, backlog], {# > 1}) ? 1 : 0", 1),
        ("any([queue, backlog], {# > 4}) ? 1 : 0", 1),
        ("none([queue, backlog], {# > 9}) ? 1 : 0", 1),
        ("one([queue, backlog], {# > 4}) ? 1 : 0", 1),
        ("sum(filter([queue, backlog], {# > 2}))", 5),
        ("max(map([queue, backlog], {# + 1}))", 6),
    ],
)
def test_functions(text: str, result: float) -> None:
    assert compute(text) == result


def test_an_operand_that_does_not_decide_is_not_computed() -> None:
    assert compute("queue > 1 || gone > 1 ? 1 : gone") == 1
    assert compute("true ? queue : gone + 1") == 2
    assert compute("queue ?? (gone + 1)") == 2
    assert compute("0 ?? 7") == 0
    assert compute("false && gone > 1 ? 1 : 0") == 0


def test_nil_equals_only_nil() -> None:
    assert compute("gone == nil ? 1 : 0") == 1
    assert compute("queue != nil ? 1 : 0") == 1
    assert compute("1 == true ? 1 : 0") == 0
    assert compute("[1, nil] == [1.0, gone] ? 1 : 0") == 1


@tabled(
    ("text", "fault", "position"),
    [
        ("", FormulaFault.SYNTAX, 0),
        ("queue +", FormulaFault.SYNTAX, 7),
        ("(queue", FormulaFault.SYNTAX, 6),
        ("queue backlog", FormulaFault.SYNTAX, 6),
        ("queue = 2", FormulaFault.SYNTAX, 6),
        ("1 < 2 ? 3", FormulaFault.SYNTAX, 9),
        ("1abc", FormulaFault.SYNTAX, 1),
        ("1.2.3", FormulaFault.SYNTAX, 3),
        ("queue ; 1", FormulaFault.SYNTAX, 6),
        ("gone ?? 7 + 1", FormulaFault.SYNTAX, 10),
        ("# + 1", FormulaFault.SYNTAX, 0),
        ("max()", FormulaFault.SYNTAX, 0),
        ("abs(1, 2)", FormulaFault.SYNTAX, 0),
        ("max([1], {# > 1})", FormulaFault.SYNTAX, 0),
        ("any([true])", FormulaFault.SYNTAX, 0),
        ("sum(map([1], {sum(map([2], {#}))}))", FormulaFault.SYNTAX, 18),
        ("1 + other", FormulaFault.UNKNOWN_NAME, 4),
        ("eval(1)", FormulaFault.UNKNOWN_FUNCTION, 0),
        ("queue ? 1 : 2", FormulaFault.WRONG_TYPE, 0),
        ("1 + (queue > 1)", FormulaFault.WRONG_TYPE, 11),
        ("1 + gone", FormulaFault.WRONG_TYPE, 4),
        ("queue and true", FormulaFault.WRONG_TYPE, 0),
        ("queue > 1", FormulaFault.WRONG_TYPE, 6),
        ("[queue]", FormulaFault.WRONG_TYPE, 0),
        ("backlog % 2", FormulaFault.WRONG_TYPE, 8),
        ("sum(queue)", FormulaFault.WRONG_TYPE, 4),
        ("abs([1])", FormulaFault.WRONG_TYPE, 4),
        ("count(queue)", FormulaFault.WRONG_TYPE, 6),
        ("max([])", FormulaFault.WRONG_TYPE, 0),
        ("queue / 0", FormulaFault.NOT_A_NUMBER, 0),
        ("0 / 0", FormulaFault.NOT_A_NUMBER, 0),
        ("1 % 0", FormulaFault.NOT_A_NUMBER, 2),
        ("(-1) ** 0.5", FormulaFault.NOT_A_NUMBER, 0),
        ("9 ** 9 ** 9", FormulaFault.NOT_A_NUMBER, 0),
        ("int(1 / 0)", FormulaFault.NOT_A_NUMBER, 0),
        ("9223372036854775808", FormulaFault.NOT_A_NUMBER, 0),
        ("4611686018427387904 * 2", FormulaFault.NOT_A_NUMBER, 20),
    ],
)
def test_a_mistake_has_a_kind_and_a_position(text: str, fault: FormulaFault, position: int) -> None:
    assert fault_of(text) == (fault, position)


@tabled(
    "text",
    [
        " " * (MAX_FORMULA_CHARACTERS + 1),
        "(" * 500 + "1" + ")" * 500,
        "!" * 3000 + "true",
        "-" * 3000 + "1",
        "1" + "+1" * 1000,
        "1" + "**1" * 1000,
        "[" * 2000,
        "true?" * 500 + "1",
        "1" + "+(1" * 500,
    ],
)
def test_a_formula_that_would_exhaust_the_stack_is_refused(text: str) -> None:
    assert fault_of(text)[0] is FormulaFault.TOO_LONG


def test_a_trigger_without_a_value_is_an_error_and_not_zero() -> None:
    formula = read_formula("queue + backlog")
    with pytest.raises(FormulaError) as caught:
        formulas.compute(formula, {"queue": 1.0})
    assert caught.value.fault is FormulaFault.UNKNOWN_NAME


@tabled("function", sorted(NUMBER_FUNCTIONS))
def test_every_function_that_may_be_called_is_computed(function: str) -> None:
    argument = "[2, 2]" if function in ONLY_LISTS else "2"
    assert compute(f"{function}({argument})") in {2, 4}


@tabled("function", sorted(WITH_PREDICATE))
def test_every_function_that_takes_a_predicate_is_computed(function: str) -> None:
    answer = f"{function}([2], {{# > 1}})"
    as_a_number = {
        "count": answer,
        "filter": f"len({answer})",
        "map": "len(map([2], {#}))",
        "none": f"{answer} ? 0 : 1",
        "sum": "sum([2], {# - 1})",
    }
    assert compute(as_a_number.get(function, f"{answer} ? 1 : 0")) == 1


def test_the_composite_metric_is_truncated_to_thousandths() -> None:
    formula = read_formula("(a + b) / 3")
    assert composite_milli(formula, {"a": 1_000, "b": 1_000}) == 666
    assert composite_milli(formula, {"a": -1_000, "b": -1_000}) == -666


def test_a_composite_metric_beyond_a_quantity_is_an_error() -> None:
    with pytest.raises(FormulaError) as caught:
        composite_milli(read_formula("10 ** 300"), {})
    assert caught.value.fault is FormulaFault.NOT_A_NUMBER
