"""The answers of `plan` and `why` as tables for people, in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from textwrap import wrap
from typing import Final

from agentdash.foreseen import Ahead, next_words
from controller.model.decision import Decision
from controller.planning import explain

_HEADINGS: Final = ("POOL", "NOW→NEXT", "TARGET", "RECOMMENDED", "WANTED", "BOUND", "WHY")
_RIGHT: Final = frozenset({2, 3, 4})
_STEP_WIDTH: Final = 22
_INPUT_WIDTH: Final = 64
_NUMBER_WIDTH: Final = 9
_GAP: Final = "  "


def plan_table(at: float, decisions: Sequence[Decision]) -> str:
    """A line for each pool. The line above them says the time, and how many pools would change."""
    changing = sum(decision.changes for decision in decisions)
    pools = "1 pool" if len(decisions) == 1 else f"{len(decisions):,} pools"
    lines = [f"{moment(at)}  {changing:,} of {pools} would change, nothing is written"]
    if decisions:
        rows = [_row(decision, at) for decision in decisions]
        lines += ["", *aligned([_HEADINGS, *rows], _RIGHT)]
    return "\n".join(lines)


def why_table(at: float, decision: Decision, ahead: Ahead) -> str:
    """One pool: its numbers, the rules in the order they were applied, when they change next, and
    what it would have without each rule.
    """
    numbers = (
        f"target {_count(decision.target)}",
        f"recommended {_count(decision.recommendation)}",
        f"wanted {_count(decision.demand)}",
        f"bound by {decision.bound}",
    )
    lines = [
        f"{decision.pool}  at {moment(at)}",
        f"  {_GAP.join((_step(decision), *numbers))}",
        "",
        _rule("STEP", "INPUT", "REPLICAS"),
    ]
    for reason in decision.reasons:
        title, words = explain.title(reason.code), explain.sentence(reason, at)
        first, *rest = wrap(words, _INPUT_WIDTH) or [""]
        value = "" if reason.value is None else _count(reason.value)
        lines.append(_rule(title, first, value))
        lines += [_rule("", text, "") for text in rest]
    lines.append(_rule("decided", _decided(decision), f"= {_count(decision.next)}"))
    due = _step(decision) if decision.changes else ""
    following = [f"next: {next_words(ahead, at, due=due)}"]
    return "\n".join([*lines, "", *(f"  {text}" for text in (*following, *ahead.without))])


def moment(at: float) -> str:
    """A time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _row(decision: Decision, at: float) -> tuple[str, ...]:
    bound = decision.bound.value
    return (
        decision.pool,
        _step(decision),
        _count(decision.target),
        _count(decision.recommendation),
        _count(decision.demand),
        bound if decision.gate is None else f"{bound} ({_in_words(decision.gate)})",
        explain.headline(decision, at),
    )


def _decided(decision: Decision) -> str:
    bound = f"bound by {decision.bound}"
    return bound if decision.gate is None else f"{bound}, held by {_in_words(decision.gate)}"


def _rule(step: str, text: str, replicas: str) -> str:
    number = f"{replicas:>{_NUMBER_WIDTH}}"
    return f"  {step:<{_STEP_WIDTH}}{_GAP}{text:<{_INPUT_WIDTH}}{_GAP}{number}".rstrip()


def aligned(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Columns as wide as their widest cell, those in `right` flush to it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(
            f"{cell:>{width}}" if number in right else f"{cell:<{width}}"
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _step(decision: Decision) -> str:
    return f"{_count(decision.current)}→{_count(decision.next)}"


def _count(number: int | None) -> str:
    return explain.UNKNOWN if number is None else f"{number:,}"


def _in_words(code: str) -> str:
    return str(code).replace("_", " ")
