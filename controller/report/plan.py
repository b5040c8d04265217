"""What `plan` and `why` answer as data: the stable, versioned JSON of a tick's decisions."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, Literal

import msgspec

from controller.model.decision import Bound, Code, Decision, Gate, Reason
from controller.model.fleet import Pool
from controller.model.tick import VERSION as TICK_VERSION
from controller.model.tick import Tick
from controller.model.value import Value
from controller.planning.counterfactual import Counterfactual
from controller.planning.explain import sentence

VERSION: Final = 1

_INT64: Final = 2**63


class Answer(Value, omit_defaults=False):
    """A value all of whose keys are always written, so that readers need no defaults."""


class ReasonReport(Answer):
    """One rule applied: `value` is the replicas after it, `numbers` what it used, the units in
    their names; null where a number is none. `sentence` says it in English and may change.
    """

    code: Code
    value: int | None
    numbers: dict[str, int | float | str | None]
    sentence: str


class WithoutReport(Answer):
    """The numbers if the rule `lifted` were not there, and what would decide them then."""

    lifted: Bound
    target: int | None
    next: int | None
    bound: Bound
    gate: Gate | None


class PoolReport(Answer):
    """One pool's decision in replicas; null where nobody can know. `gate` is why `next` is not the
    target. `without` is there in the answers of `why` alone.
    """

    pool: str
    current: int | None
    demand: int | None
    recommendation: int | None
    target: int | None
    next: int | None
    bound: Bound
    gate: Gate | None
    reasons: tuple[ReasonReport, ...]
    without: tuple[WithoutReport, ...] | msgspec.UnsetType = msgspec.UNSET


class PlanReport(Answer):
    """What would be done at `at` (Unix seconds): the pools that were seen, as the fleet file orders
    them.
    """

    version: Literal[1]
    at: float
    pools: tuple[PoolReport, ...]


def plan_report(at: float, pools: tuple[PoolReport, ...]) -> PlanReport:
    """The whole answer for one tick."""
    return PlanReport(version=VERSION, at=at, pools=pools)


def pool_report(
    pool: Pool,
    decision: Decision,
    at: float,
    without: tuple[Counterfactual, ...] | None = None,
) -> PoolReport:
    """One pool's part of it, as of `at`; `without` for an answer that has counterfactuals."""
    return PoolReport(
        pool=pool.key,
        current=_count(decision.current),
        demand=_count(decision.demand),
        recommendation=_count(decision.recommendation),
        target=_count(decision.target),
        next=_count(decision.next),
        bound=decision.bound,
        gate=decision.gate,
        reasons=tuple(_reason_report(reason, at) for reason in decision.reasons),
        without=msgspec.UNSET if without is None else tuple(map(_without_report, without)),
    )


def encode_report(report: PlanReport) -> str:
    """The answer as one line of JSON, the keys always in the same order."""
    return msgspec.json.encode(report).decode()


def decode_report(text: str | bytes) -> PlanReport:
    """What `encode_report` gave. Raises msgspec.ValidationError for anything else."""
    return msgspec.json.decode(text, type=PlanReport)


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of what `plan --json` and `why --json` print."""
    return _schema(PlanReport, "agentdash plan", VERSION)


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
    """The schema with its descriptions, which are docstrings, as single lines."""
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


def _number(number: float | str) -> int | float | str | None:
    if isinstance(number, int):
        return _count(number)
    return number if isinstance(number, str) or isfinite(number) else None


def _count(number: int | None) -> int | None:
    """A number that every JSON reader can hold; an absurd one is as good as unknown."""
    return number if number is not None and -_INT64 <= number < _INT64 else None
