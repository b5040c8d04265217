"""How agentdash answers one case of each type: the planner's own functions on the case's inputs.

`ANSWERS` maps a type to what computes its `expected`; `DIVERGENCES` is the table of all that is
deliberately not the same: the rule, what differs, and why. To print it, from the root:

    PYTHONPATH=.:tests python -m conformance.answers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from conformance.hpa_answers import HPA_ANSWERS, pods_of
from conformance.keda_answers import KEDA_ANSWERS
from conformance.sharing_answers import SHARING_ANSWERS
from controller.model.fleet import (
    Behavior,
    PolicyType,
    Pool,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)
from controller.model.ids import pool_key
from controller.model.memory import RecommendationRun, ScaleChange
from controller.model.observation import PoolObservation, QueueDepth
from controller.model.readings import Absent, Fresh, Why
from controller.planning.demand.metrics.external import (
    MetricError,
    Proposal,
    Tolerance,
    external_average_value,
    external_value,
    object_average_value,
    object_value,
)
from controller.planning.demand.metrics.pods import serving_pods
from controller.planning.demand.work import read_work
from controller.planning.recommend.behavior import (
    Limited,
    changed_within,
    clamp_without_behavior,
    limit_change,
    longest_period_s,
    record_change,
    stabilize,
    stabilize_down,
)

Inputs = Mapping[str, Any]
Answer = Mapping[str, Any]
NOW = 100_000.0


class Divergence(NamedTuple):
    """Where we deliberately answer otherwise. `uncompared`: (type, key of `expected`)."""

    rule: str
    what: str
    why: str
    uncompared: tuple[tuple[str, str], ...] = ()


DIVERGENCES: tuple[Divergence, ...] = (
    Divergence(
        "HPA stabilisation",
        "the log of recommendations is kept as runs, without what no window can ask for",
        "it stays small however long the window; the stabilised number is the same",
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
        "a person must do something else for each; there is no number beside it, not even 0",
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
        "KEDA scale to zero",
        "every step down obeys `behavior`; only the last one waits for the cooldown",
        "a jump from N to 0 bypasses every limit on shrinking and kills busy workers",
    ),
    Divergence(
        "HPA sizes out of bounds",
        "where the work asks for more than min, or allows less than max, the same tick goes there",
        "a second pass would go there anyway; the bound itself is still reached at once",
    ),
    Divergence(
        "KEDA scale from zero",
        "the first tick goes to the demand, not to one",
        "nobody waits for a second controller's next round",
    ),
    Divergence(
        "HPA to and from zero",
        "the way between zero and one is KEDA's: by activation and cooldown, one replica first",
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
        "an unreadable queue, Deployment or list of pods never lowers a pool, not even to max",
        "silence is not evidence",
    ),
)


def _tolerance(inputs: Inputs) -> Tolerance:
    config = inputs["config"]
    return Tolerance(down=config["tolerance_down"], up=config["tolerance_up"])


def _ready(inputs: Inputs) -> int | None:
    return serving_pods(pods_of(inputs["pods"]))


def _proposal(proposal: Proposal | None) -> Answer:
    if proposal is None:
        return {"known": False, "error": "no metrics returned from external metrics API"}
    return {"replicas": proposal.replicas, "usage_milli": proposal.usage_milli, "known": True}


def _or_error(answer: Callable[[Inputs], Answer]) -> Callable[[Inputs], Answer]:
    """The same answer; a metric that proposes nothing is not known, and says why."""

    def answered(inputs: Inputs) -> Answer:
        try:
            return answer(inputs)
        except MetricError as error:
            return {"known": False, "error": str(error)}

    return answered


def _external_value(inputs: Inputs) -> Answer:
    metric = inputs["metric"]
    return _proposal(
        external_value(
            metric.get("values_milli", ()),
            metric["target_milli"],
            inputs["current_replicas"],
            _ready(inputs),
            _tolerance(inputs),
        )
    )


def _external_average_value(inputs: Inputs) -> Answer:
    metric, replicas = inputs["metric"], inputs["status_replicas"]
    return _proposal(
        external_average_value(
            metric.get("values_milli", ()), metric["target_milli"], replicas, _tolerance(inputs)
        )
    )


def _object_value(inputs: Inputs) -> Answer:
    metric = inputs["metric"]
    return _proposal(
        object_value(
            metric["value_milli"],
            metric["target_milli"],
            inputs["current_replicas"],
            _ready(inputs),
            _tolerance(inputs),
        )
    )


def _object_average_value(inputs: Inputs) -> Answer:
    metric, replicas = inputs["metric"], inputs["status_replicas"]
    return _proposal(
        object_average_value(
            metric["value_milli"], metric["target_milli"], replicas, _tolerance(inputs)
        )
    )


def _rules(rules: Mapping[str, Any] | None) -> ScalingRules:
    rules = rules or {}
    return ScalingRules(
        stabilization_window_s=rules.get("stabilization_window_s") or 0,
        select_policy=SelectPolicy(rules.get("select_policy") or "Max"),
        policies=tuple(
            ScalingPolicy(
                type=PolicyType(policy["type"]), value=policy["value"], period_s=policy["period_s"]
            )
            for policy in rules.get("policies") or ()
        ),
    )


def _events(events: Sequence[Mapping[str, Any]] | None) -> tuple[ScaleChange, ...]:
    return tuple(
        ScaleChange(change=event["change"], at=NOW - event["age_s"]) for event in events or ()
    )


def _history(inputs: Inputs) -> tuple[RecommendationRun, ...]:
    return tuple(
        RecommendationRun(
            replicas=given["replicas"], first_at=NOW - given["age_s"], last_at=NOW - given["age_s"]
        )
        for given in inputs["recommendations"] or ()
    )


def _limited(limited: Limited) -> Answer:
    return {"replicas": limited.replicas, "reason": limited.reason.value}


def _behavior_rate_limit(inputs: Inputs) -> Answer:
    behavior = inputs["behavior_effective"]
    return _limited(
        limit_change(
            inputs["current_replicas"],
            inputs["desired_replicas"],
            low=inputs["min_replicas"],
            high=inputs["max_replicas"],
            behavior=Behavior(
                scale_up=_rules(behavior["scale_up"]), scale_down=_rules(behavior["scale_down"])
            ),
            added=_events(inputs.get("scale_up_events")),
            removed=_events(inputs.get("scale_down_events")),
            now=NOW,
        )
    )


def _clamp_without_behavior(inputs: Inputs) -> Answer:
    return _limited(
        clamp_without_behavior(
            inputs["current_replicas"],
            inputs["desired_replicas"],
            inputs["min_replicas"],
            inputs["max_replicas"],
            factor=inputs["scale_up_limit_factor"],
            minimum=inputs["scale_up_limit_minimum"],
        )
    )


def _stabilize_with_behavior(inputs: Inputs) -> Answer:
    windows = Behavior(
        scale_up=ScalingRules(stabilization_window_s=inputs["scale_up_window_s"]),
        scale_down=ScalingRules(stabilization_window_s=inputs["scale_down_window_s"]),
    )
    current, desired = inputs["current_replicas"], inputs["desired_replicas"]
    return {"stabilized_replicas": stabilize(current, desired, _history(inputs), windows, NOW)}


def _stabilize_without_behavior(inputs: Inputs) -> Answer:
    window_s, desired = inputs["downscale_stabilization_s"], inputs["desired_replicas"]
    return {"stabilized_replicas": stabilize_down(desired, _history(inputs), window_s, NOW)}


def _scale_event_log(inputs: Inputs) -> Answer:
    """Only what still counts is compared: an outdated event is a free slot there, gone here."""
    events = _events(inputs["events"])
    after = events
    if inputs["rules"] is not None:  # the HPA keeps no log for a target without `behavior`
        change = abs(inputs["new_replicas"] - inputs["previous_replicas"])
        after = record_change(events, change, NOW, longest_period_s(_rules(inputs["rules"])))
    return {
        "change_in_period_before_store": changed_within(events, inputs["query_period_s"], NOW),
        "events_after_store": sorted(event.change for event in after),
    }


def _consumer_lag(inputs: Inputs) -> Answer:
    """A consumer that is not in the stream's answer is absent, and an absent one has no lag."""
    name, pool = inputs["consumer"], _pool()
    found = [
        QueueDepth(pending=consumer["num_pending"], in_flight=consumer["num_ack_pending"])
        for consumer in inputs["stream"].get("consumer_detail") or ()
        if consumer["name"] == name
    ]
    queue = Fresh(value=found[0], at=NOW) if found else Absent(why=Why.CONSUMER_MISSING, at=NOW)
    work = read_work(pool, PoolObservation(queue=queue), NOW, [])
    return {"lag": work.messages or 0, "known": work.counted}


def _pool() -> Pool:
    rules = ScalingRules(stabilization_window_s=0)
    return Pool(
        key=pool_key("a", "b"),
        name="b",
        tenant="a",
        namespace="a",
        deployment="b",
        stream="s",
        consumer="c",
        behavior=Behavior(scale_up=rules, scale_down=rules),
    )


ANSWERS: Mapping[str, Callable[[Inputs], Answer]] = {
    "external_value": _or_error(_external_value),
    "external_average_value": _or_error(_external_average_value),
    "object_value": _or_error(_object_value),
    "object_average_value": _or_error(_object_average_value),
    "behavior_rate_limit": _behavior_rate_limit,
    "clamp_without_behavior": _clamp_without_behavior,
    "stabilize_with_behavior": _stabilize_with_behavior,
    "stabilize_without_behavior": _stabilize_without_behavior,
    "scale_event_log": _scale_event_log,
    "consumer_lag": _consumer_lag,
    **HPA_ANSWERS,
    **KEDA_ANSWERS,
    **SHARING_ANSWERS,
}


def expected_of(kind: str, expected: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared of a case's `expected`, in the shape our answers have."""
    uncompared = {key for divergence in DIVERGENCES for key in divergence.uncompared}
    wanted = {key: value for key, value in expected.items() if (kind, key) not in uncompared}
    if kind == "scale_event_log":
        events = wanted["events_after_store"]
        wanted["events_after_store"] = sorted(
            event["change"] for event in events if not event["outdated"]
        )
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
