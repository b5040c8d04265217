"""The table of all that agentdash deliberately does otherwise than the HPA and KEDA: the rule, what
differs, and why. To print it, from the root:

    PYTHONPATH=.:tests python -m conformance.divergences
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Divergence(NamedTuple):
    """Where we deliberately answer otherwise. `uncompared`: (type, key of `expected`)."""

    rule: str
    what: str
    why: str
    uncompared: tuple[tuple[str, str], ...] = ()


DIVERGENCES: tuple[Divergence, ...] = (
    Divergence(
        "HPA stabilisation",
        "the log of recommendations is kept as runs of the same number, without those that can"
        " decide nothing",
        "it stays small for every window; the stabilised number is the same",
        (
            ("stabilize_with_behavior", "recommendation_log"),
            ("stabilize_without_behavior", "recommendation_log_length"),
        ),
    ),
    Divergence(
        "HPA scale events",
        "an event that can no longer count is dropped, not marked as a free slot",
        "the sums are the same; expected events that are outdated are left out",
    ),
    Divergence(
        "HPA and KEDA errors",
        "a metric or a consumer that is missing is a reading that says why, not an error's text",
        "each cause needs another action; there is no number beside it, not even 0",
        (
            ("consumer_lag", "error_contains"),
            ("external_value", "error_contains"),
            ("external_average_value", "error_contains"),
        ),
    ),
    Divergence(
        "HPA default behavior",
        "rule native has no rate policies unless `behavior` lists some",
        "a burst is answered in one tick",
    ),
    Divergence(
        "HPA sizes out of bounds",
        "rule native only: where the work asks for more than min, or for less than max, the same"
        " tick goes there; rule hpa goes to the bound, as the HPA does",
        "a second pass would go there anyway; the bound itself is still reached at once",
    ),
    Divergence(
        "HPA to and from zero",
        "the step between zero and one is KEDA's: by activation and cooldown, one replica first",
        "an HPA that goes to zero by a metric's number cannot see what would wake it",
    ),
    Divergence(
        "HPA without metrics",
        "a pool without metrics is sized by its queue, not by CPU at 80 %",
        "an agent waits for its model most of the time: CPU says little",
    ),
    Divergence(
        "HPA metrics of one name",
        "two metrics of a pool that are read under one name are one reading",
        "what was read is kept by name; the same query twice has one answer",
    ),
    Divergence(
        "HPA growth without behavior",
        "a size at most doubles, or goes to 4; the controller manager's flags are not read",
        "these are the flags' defaults, and a fleet file has `behavior` for anything else",
    ),
    Divergence(
        "HPA and KEDA blindness",
        "an unreadable queue never lowers a pool, not even to max; a pool whose Deployment or pods"
        " cannot be seen is not written at all, not even to min",
        "missing data is no evidence",
    ),
    Divergence(
        "KEDA scale to zero",
        "every step down obeys `behavior`; only the last one waits for the cooldown",
        "a jump from N to 0 bypasses every limit on shrinking and kills busy workers",
    ),
    Divergence(
        "KEDA scale from zero",
        "rule native only: the first tick goes to the demand, not to one; rule hpa goes to min and"
        " at least one, as KEDA does",
        "no task waits for the next round of a second controller",
    ),
    Divergence(
        "KEDA zero by hand with min > 0",
        "a pool that was scaled to zero by hand although its min is more stays at zero until it is"
        " scaled up by hand or its activation is forced; KEDA raises it to min",
        "the HPA reads such a zero as switched off, and a person may rely on it",
    ),
    Divergence(
        "KEDA fallback of zero",
        "`fallback.replicas: 0` stands in for nothing: the pool is held; KEDA goes to zero",
        "an outage of a metric is no evidence that there is no work",
    ),
    Divergence(
        "KEDA failures of a metric",
        "a failure is counted once per plan, and up to one more than the threshold; KEDA counts"
        " each read by its loop and by the HPA, without an end",
        "a plan reads each metric once; what is above the threshold decides nothing",
    ),
    Divergence(
        "KEDA paused replicas",
        "an operator's pause that keeps replicas is held to max; the Deployment's annotation"
        " paused-replicas is written as it is, as KEDA does",
        "`keep` is our own setting and obeys the fleet file; the annotation keeps KEDA's meaning",
    ),
    Divergence(
        "KEDA and the HPA as one",
        "one plan does what KEDA's loop, the HPA that it makes and KEDA's reconciler do in turn",
        "there is one writer: nothing waits for the next round of another controller",
    ),
)


def expected_of(kind: str, expected: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared of a case's `expected`, in the shape our answers have."""
    uncompared = {key for divergence in DIVERGENCES for key in divergence.uncompared}
    wanted = {key: value for key, value in expected.items() if (kind, key) not in uncompared}
    if (kind, "error_contains") in uncompared:
        wanted["known"] = "error_contains" not in expected
    return wanted


def table() -> str:
    """The divergences for people: rule, what differs, why."""
    return "\n".join(
        f"{divergence.rule}\n  {divergence.what}\n  because {divergence.why}"
        for divergence in DIVERGENCES
    )


if __name__ == "__main__":
    print(table())
