"""The JSON that `plan` and `why` print: a tick's decisions, in a stable and versioned form."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, Literal

import msgspec

from controller.model.decision import Bound, Code, Decision, Gate, Reason
from controller.model.fleet import Pool
from controller.model.memory import TICK_VERSION, Tick
from controller.model.value import INT64_MAX, Value
from controller.planning.explain import sentence
from controller.planning.whatif import Counterfactual, NextChange, Outlook

PLAN_VERSION: Final = 1


class ReportValue(Value, omit_defaults=False):
    """A value that is written with all its keys, so that readers need no defaults."""


class ReasonReport(ReportValue):
    """One rule that was applied. `value` is the replicas after it; `numbers` are those it used,
    with their units in their names, null where there is no number. `sentence` says it in English,
    and its wording may change.
    """

    code: Code
    value: int | None
    numbers: dict[str, int | float | str | None]
    sentence: str


class WithoutReport(ReportValue):
    """The numbers without the rule `lifted`, and what would decide them then."""

    lifted: Bound
    target: int | None
    next: int | None
    bound: Bound
    gate: Gate | None


class NextReport(ReportValue):
    """The next change: at `at` (Unix seconds) from `before` to `after` replicas, if no reading and
    no intent changes until then; `at` is null where it waits for tasks that end or for room. `ends`
    is the rule that holds the number until then, null where that is not one rule.
    """

    at: float | None
    before: int
    after: int
    ends: Code | None


class PoolReport(ReportValue):
    """One pool's decision, in replicas; null where a number cannot be known. `gate` says why `next`
    is not the target. Only `why` gives `without`, and the `next_change` after this decision, null
    where none is foreseen.
    """

    pool: str
    current: int | None
    wanted: int | None
    recommended: int | None
    target: int | None
    next: int | None
    bound: Bound
    gate: Gate | None
    reasons: tuple[ReasonReport, ...]
    without: tuple[WithoutReport, ...] | msgspec.UnsetType = msgspec.UNSET
    next_change: NextReport | msgspec.UnsetType | None = msgspec.UNSET


class PlanReport(ReportValue):
    """What would be done at `at` (Unix seconds), for pools seen, in the fleet's order."""

    version: Literal[1]
    at: float
    pools: tuple[PoolReport, ...]


def plan_report(at: float, pools: tuple[PoolReport, ...]) -> PlanReport:
    """The report of one tick."""
    return PlanReport(version=PLAN_VERSION, at=at, pools=pools)


def pool_report(
    pool: Pool,
    decision: Decision,
    at: float,
    outlook: Outlook | None = None,
) -> PoolReport:
    """The pool in the report as of `at`; `outlook` is what follows, None for `plan`."""
    return PoolReport(
        pool=pool.key,
        current=_count(decision.current),
        wanted=_count(decision.demand),
        recommended=_count(decision.recommendation),
        target=_count(decision.target),
        next=_count(decision.next),
        bound=decision.bound,
        gate=decision.gate,
        reasons=tuple(_reason_report(reason, at) for reason in decision.reasons),
        without=msgspec.UNSET if outlook is None else tuple(map(_without_report, outlook.without)),
        next_change=msgspec.UNSET if outlook is None else _next_report(outlook.next),
    )


def encode_report(report: PlanReport) -> str:
    """The report as one line of JSON, its keys always in the same order."""
    return msgspec.json.encode(report).decode()


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of what `plan --json` and `why --json` print."""
    return _schema(PlanReport, "agentdash plan", PLAN_VERSION)


def observation_schema() -> dict[str, Any]:
    """The JSON Schema of one line of an observations file."""
    return _schema(Tick, "agentdash observation", TICK_VERSION)


def _schema(kind: type, title: str, version: int) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "version": version,
        **_on_one_line(msgspec.json.schema(kind)),
    }


def _on_one_line(schema: Any) -> Any:
    """The schema with each description, which comes from a docstring, on one line."""
    if isinstance(schema, dict):
        return {
            key: " ".join(value.split())
            if key == "description" and isinstance(value, str)
            else _on_one_line(value)
            for key, value in schema.items()
        }
    return [_on_one_line(item) for item in schema] if isinstance(schema, list) else schema


def _reason_report(reason: Reason, at: float) -> ReasonReport:
    numbers = {name: _number(number) for name, number in reason.numbers.items()}
    return ReasonReport(
        code=reason.code, value=_count(reason.value), numbers=numbers, sentence=sentence(reason, at)
    )


def _without_report(without: Counterfactual) -> WithoutReport:
    return WithoutReport(
        lifted=without.lifted,
        target=_count(without.target),
        next=_count(without.next),
        bound=without.bound,
        gate=without.gate,
    )


def _next_report(change: NextChange | None) -> NextReport | None:
    if change is None or not isfinite(change.at or 0.0):
        return None
    before, after = _count(change.before), _count(change.after)
    if before is None or after is None:
        return None
    return NextReport(at=change.at, before=before, after=after, ends=change.ends)


def _number(number: float | str) -> int | float | str | None:
    if isinstance(number, int):
        return _count(number)
    return number if isinstance(number, str) or isfinite(number) else None


def _count(number: int | None) -> int | None:
    """The number if it fits into an int64; else None, for unknown."""
    return number if number is not None and -INT64_MAX - 1 <= number <= INT64_MAX else None
