"""Every reason in words, its times as seen from now."""

from __future__ import annotations

import math

import pytest

from controller.model.decision import Code, Decision, Number, Reason
from controller.model.ids import PoolKey
from controller.planning.explain import WORDINGS, duration, headline, sentence, title
from unit.planning.story import Story, make_pool

NOW = 1_700_000_000.0
NUMBERS: dict[str, Number] = {
    "pending": 12,
    "in_flight": 3,
    "target": 1,
    "slots": 2,
    "messages": 40,
    "activation": 50,
    "why": "timed_out",
    "since": NOW - 75.4,
    "window_s": 300,
    "until": NOW + 12.25,
    "cooldown_s": 900.0,
    "policy": "Pods 5 in 120 s",
    "period_s": 120,
    "ratio": 1.05,
    "min": 2,
    "max": 4,
    "who": "mara",
    "autoscaler": "HorizontalPodAutoscaler research",
    "reason": "OPS-881",
    "spares": 3,
    "row": "quota-cpu:acme",
    "pod": "research-3",
    "capacity": 4000.0,
    "usd_per_hour": 41.25,
    "usd_alert": 40.0,
    "pace_per_minute": 500.0,
    "used_percent": 82.4,
    "early_s": 11400,
    "exhausted_at": NOW + 7_500,
    "subject": "acme/research",
    "busy": 4,
    "going": 4,
    "drained": 3,
    "generations": 2,
    "stuck": 1,
    "annotation": "autoscaling.keda.sh/paused",
    "text": "many",
    "after_s": 60,
    "redelivered": 2,
    "deliveries": 8,
    "times": 3,
    "ours": 5,
    "theirs": 9,
    "by": "argocd-controller",
    "holder": "pod-7/1_ab",
    "wanted": 6,
    "metric": "lag",
    "measured": 15.5,
    "per": "per replica",
    "base": 2,
    "start": 4,
    "keep": 5,
    "arrivals_per_min": 3.25,
    "service_s": 41.5,
    "ready_s": 8.2,
    "hold_s": 300.0,
    "likely": 2,
    "limit": "quota",
    "tokens": 8_000_000,
}
GOLDEN = {
    Code.QUEUE: "12 pending + 3 in flight, 1 task per replica (2 slots): 4 replicas",
    Code.WOKEN: "4 replicas or more: a message was published 1 min 15 s ago, before the queue was"
    " read",
    Code.QUEUE_UNKNOWN: "the queue's depth is not known (timed out, 1 min 15 s), so there is no"
    " demand",
    Code.QUEUE_PAUSED: "the consumer is paused: its messages count, but none is delivered",
    Code.LEARNED_NEED: "these messages need 4 replicas: a task takes 42 s, and a new replica is"
    " ready after 8.2 s",
    Code.WORTH_STARTING: "4 replicas: 2 for these messages, and 2 more because about 3.25 tasks"
    " arrive per minute and a new replica is ready only after 8.2 s",
    Code.WORTH_KEEPING: "4 replicas run and stay: 4 would do now, but at 3.25 tasks per minute it"
    " costs less to keep up to 5 than to start them again",
    Code.NOT_WORTH_KEEPING: "down to 4 replicas: at 3.25 tasks per minute, 42 s each, more than"
    " that are not worth keeping",
    Code.SURPLUS_HELD: "4 replicas, although only 5 are worth keeping: a surplus replica goes"
    " after 5 min, in 12 s",
    Code.REDELIVERED: "2 messages in flight came back after an earlier delivery: for these alone"
    " no more than 4 replicas",
    Code.POISON: "2 messages in flight come back again and again and no others wait (8 deliveries"
    " in 1 min 15 s, none acknowledged): they add no replicas",
    Code.METRIC: "lag is 15.5, its target is 1 per replica: 4 replicas",
    Code.METRIC_UNKNOWN: "lag is not known (timed out, 1 min 15 s), so it takes nothing away",
    Code.FALLBACK: "lag is not known (timed out, 1 min 15 s): its fallback is used instead",
    Code.INACTIVE: "40 messages do not wake a pool whose activation is 50",
    Code.ACTIVATED: "40 messages, more than the activation of 50: 4 replicas at once",
    Code.ACTIVATED_BY_METRIC: "lag is 15.5, more than its activation of 50: 4 replicas at once",
    Code.ACTIVATION_FORCED: "an annotation of the workload forces the pool to be active: 4"
    " replicas",
    Code.COOLDOWN: "idle, but kept at 4 replicas until the cooldown ends in 12 s",
    Code.ASLEEP: "idle for longer than the cooldown of 15 min: to zero",
    Code.RESTING: "idle for longer than the cooldown of 15 min: to its idle size, 4 replicas",
    Code.STABILIZED_UP: "4 replicas, the lowest recommendation of the last 5 min; more in 12 s",
    Code.STABILIZED_DOWN: "4 replicas, the highest recommendation of the last 5 min; fewer in 12 s",
    Code.RATE_LIMITED_UP: "policy Pods 5 in 120 s: no more than 4 replicas now",
    Code.RATE_LIMITED_DOWN: "policy Pods 5 in 120 s: no fewer than 4 replicas now",
    Code.TOLERATED: "1.05 of the target is within the tolerance: it stays at 4 replicas",
    Code.AT_MIN: "at least 2 replicas (min)",
    Code.AT_MAX: "at most 4 replicas (max)",
    Code.SCALED_TO_ZERO_BY_HAND: "it was scaled to zero by hand although min is 2: it stays at"
    " zero until it is scaled up by hand",
    Code.WORKLOAD_UNKNOWN: "the workload is not known (timed out, 1 min 15 s): nothing is written",
    Code.PODS_UNKNOWN: "the pods are not known (timed out, 1 min 15 s): it stays at 4 replicas,"
    " nothing is written",
    Code.HELD_BLIND: "held at 4 replicas: the queue is not known (timed out, 1 min 15 s), and"
    " missing data takes nothing away",
    Code.HELD_UNMEASURED: "held at 4 replicas: lag is not known (timed out, 1 min 15 s), and"
    " missing data takes nothing away",
    Code.BLIND_FOR_LONG: "its work has not been known for 1 min 15 s, longer than 1 min: at least"
    " 4 replicas",
    Code.HELD_WARM_UP: "held at 4 replicas: nothing is taken away before 5 min have been observed,"
    " 12 s to go",
    Code.SCHEDULED: "an open schedule sets min 2 and max 4",
    Code.PAUSED: "paused by mara (OPS-881): nothing new starts",
    Code.KEPT_WHILE_PAUSED: "paused by mara (OPS-881): kept at 4 replicas",
    Code.PAUSE_UNREADABLE: "the pause by mara asks for 5 replicas, which cannot be: kept at 4"
    " replicas",
    Code.KEPT_BY_ANNOTATION: "the workload's annotation autoscaling.keda.sh/paused keeps it at 4"
    " replicas",
    Code.NO_SHRINKING: "the workload's annotation autoscaling.keda.sh/paused lets no replica go:"
    " 4 replicas",
    Code.NO_GROWTH: "the workload's annotation autoscaling.keda.sh/paused lets no replica be"
    " added: 4 replicas",
    Code.ANNOTATION_UNREADABLE: "the workload's annotation autoscaling.keda.sh/paused is not a"
    " number of replicas (many): kept at 4 replicas",
    Code.CAPPED: "capped by mara (OPS-881): at most 4 replicas",
    Code.NOT_GROWING: "no growth, asked for by mara (OPS-881): no more than 4 replicas",
    Code.PINNED: "3 spares pinned by mara (OPS-881): 4 replicas",
    Code.WARM_SPARES: "3 spares for tasks that may arrive: 4 replicas",
    Code.BASELINE: "a tenant with work has at least 4 replicas",
    Code.QUOTA: "the tenant's quota (quota-cpu:acme: 4,000) leaves 4 replicas to this pool",
    Code.BUDGET: "82.4 % of the day's tokens are used, and a pace of 500 tokens/min feeds 4"
    " replicas, and at the present burn they are spent in 2 h 5 min, 3 h 10 min before the reset",
    Code.BUDGET_SET: "mara set the day's budget to 8,000,000 tokens (OPS-881)",
    Code.BUDGET_SPENT: "the day's tokens are spent: down to 4 replicas until the reset",
    Code.USAGE_UNKNOWN: "what is left of the budget is not known: no more than 4 replicas until it"
    " is",
    Code.LIMIT_UNREADABLE: "the quota that was read cannot be one: no more than 4 replicas until"
    " it can",
    Code.COST: "the limit in USD per hour (quota-cpu:acme: 4,000) pays for 4 replicas of this pool",
    Code.COST_ALERT: "the tenant's pools cost 41.25 USD per hour, at or above its alert of 40",
    Code.RATE: "the provider's limit (quota-cpu:acme: 4,000) feeds 4 replicas",
    Code.CAPACITY: "the cluster's quota-cpu:acme (4,000) leaves 4 replicas to this pool",
    Code.UNSHAREABLE: "acme/research cannot be calculated with, so nothing can be shared: it stays"
    " at 4 replicas",
    Code.BUSY: "4 replicas at work finish their tasks first: 4 replicas now",
    Code.DRAINING: "3 of 4 replicas that go are drained, 4 finish their tasks first: 4 replicas"
    " now",
    Code.ROLLING_OUT: "its pods are of 2 pod templates: none is taken away before the rollout has"
    " ended, 4 replicas now",
    Code.ROLLOUT_PAUSED: "its pods are of 2 pod templates and its Deployment is paused: none is"
    " taken away before the rollout goes on and has ended, 4 replicas now",
    Code.BUSY_AT_THE_TOP: "the highest ordinals of a StatefulSet go first, and research-3 is not"
    " drained yet (4 of 4 replicas that go at work): 4 replicas now",
    Code.BUSY_SOMEWHERE: "4 replicas at work, and nothing says whether these are the highest"
    " ordinals, which a StatefulSet removes first: 4 replicas until all are idle",
    Code.WORKERS_UNKNOWN: "what its workers do is not known (timed out, 1 min 15 s), so none is"
    " taken away: 4 replicas",
    Code.ROOM: "replicas that are leaving still take the room it may have (quota-cpu:acme): 4"
    " replicas now",
    Code.MINIMUM_RUNTIME: "replicas that just began are not taken back yet: 4 replicas now",
    Code.FROZEN: "frozen by mara (OPS-881): it stays at 4 replicas",
    Code.CONTESTED: "argocd-controller (Argo CD) keeps setting it back, 3 times, last from 5 to 9:"
    " left at 4 replicas until that has not happened for 5 min, 12 s to go",
    Code.SET_BACK: "set back from 5 to 9 by argocd-controller (Argo CD): left at 4 replicas until"
    " that has not happened for 5 min, 12 s to go",
    Code.OTHER_AUTOSCALER: "HorizontalPodAutoscaler research scales it too: left at 4 replicas"
    " until that is gone",
    Code.NOT_BECOMING_READY: "1 pod crash, cannot start or fit nowhere: no more than 4 replicas"
    " until they are ready",
    Code.FOLLOWER: "pod-7/1_ab leads: this process would set 6 replicas, and writes nothing",
}


@pytest.mark.parametrize("code", list(Code))
def test_every_code_says_its_sentence(code: Code) -> None:
    assert sentence(Reason(code=code, value=4, numbers=NUMBERS), NOW) == GOLDEN[code]
    assert title(code) == WORDINGS[code].title
    assert title(code)


ABSURD: list[Number] = [
    math.nan,
    math.inf,
    -math.inf,
    -1,
    2**63,
    10**400,
    10**5000,
    1e300,
    "{x}",
    "",
]


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize("number", ABSURD, ids=range(len(ABSURD)))
def test_absurd_numbers_are_shown_and_never_raise(code: Code, number: Number) -> None:
    value = number if isinstance(number, int) else None
    assert sentence(Reason(code=code, value=value, numbers=dict.fromkeys(NUMBERS, number)), NOW)


def test_a_budget_that_nothing_burns_is_never_spent() -> None:
    paced = Reason(
        code=Code.BUDGET, value=4, numbers={"used_percent": 90.0, "pace_per_minute": 12.5}
    )
    assert sentence(paced, NOW) == (
        "90 % of the day's tokens are used, and a pace of 12.5 tokens/min feeds 4 replicas"
    )


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e300])
def test_a_number_that_is_none_is_a_question_mark(number: float) -> None:
    reason = Reason(code=Code.AT_MAX, numbers={"max": number})
    assert sentence(reason, NOW) == "at most ? replicas (max)"


@pytest.mark.parametrize("code", list(Code))
def test_missing_numbers_are_shown_as_unknown(code: Code) -> None:
    assert "{" not in sentence(Reason(code=code), NOW)


def test_one_is_singular() -> None:
    reason = Reason(code=Code.AT_MAX, numbers={"max": 1})
    assert sentence(reason, NOW) == "at most 1 replica (max)"


def test_an_unknown_age_is_left_out() -> None:
    reason = Reason(code=Code.WORKLOAD_UNKNOWN, numbers={"why": "never_read"})
    assert sentence(reason, NOW) == "the workload is not known (never read): nothing is written"


def decided(
    current: int | None, demand: int | None, target: int | None, following: int | None, *codes: Code
) -> Decision:
    return Decision(
        pool=PoolKey("acme/research"),
        current=current,
        demand=demand,
        recommendation=target,
        target=target,
        next=following,
        reasons=tuple(Reason(code=code, value=following, numbers=NUMBERS) for code in codes),
    )


@pytest.mark.parametrize(
    ("decision", "line"),
    [
        (
            decided(4, 10, 4, 4, Code.QUEUE, Code.AT_MAX),
            "4 (wanted 10): at most 4 replicas (max)",
        ),
        (
            decided(3, 3, 3, 3, Code.QUEUE),
            f"3: {GOLDEN[Code.QUEUE].replace('4 replicas', '3 replicas')}",
        ),
        (
            decided(3, 0, 1, 3, Code.QUEUE, Code.HELD_WARM_UP),
            "now 3 → next 3 (target 1, wanted 0): "
            + GOLDEN[Code.HELD_WARM_UP].replace("4 replicas", "3 replicas"),
        ),
        (
            decided(0, 9, 4, 4, Code.QUEUE, Code.AT_MAX),
            "now 0 → next 4 (target 4, wanted 9): at most 4 replicas (max)",
        ),
        (
            decided(None, 9, None, None, Code.WORKLOAD_UNKNOWN),
            f"now ? (wanted 9): {GOLDEN[Code.WORKLOAD_UNKNOWN]}",
        ),
        (decided(2, 2, 2, 2), "2"),
    ],
)
def test_a_headline_is_the_numbers_and_the_last_rule(decision: Decision, line: str) -> None:
    assert headline(decision, NOW) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (9, "9 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3_599.9, "1 h"),
        (7_500, "2 h 5 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("after_s", "since", "until"),
    [(0.0, "1 min 15 s", "12 s"), (5.0, "1 min 20 s", "7.2 s"), (600.0, "11 min 15 s", "0 s")],
)
def test_the_same_reason_is_older_and_ends_sooner_when_it_is_read_later(
    after_s: float, since: str, until: str
) -> None:
    """A reason carries times, so it stays equal while nothing happens; its sentence goes on."""
    later = NOW + after_s
    unknown = Reason(code=Code.QUEUE_UNKNOWN, numbers=NUMBERS)
    assert sentence(unknown, later) == (
        f"the queue's depth is not known (timed out, {since}), so there is no demand"
    )
    cooling = Reason(code=Code.COOLDOWN, value=1, numbers=NUMBERS)
    assert sentence(cooling, later) == (
        f"idle, but kept at 1 replica until the cooldown ends in {until}"
    )


def test_a_reason_that_is_read_before_its_time_is_not_negative() -> None:
    """The clock of a dashboard may be behind the leader's."""
    unknown = Reason(code=Code.QUEUE_UNKNOWN, numbers={"why": "timed_out", "since": NOW})
    assert "(timed out, 0 s)" in sentence(unknown, NOW - 3)


def test_the_headline_tells_the_times_of_the_last_reason_as_of_now() -> None:
    decision = decided(1, 0, 1, 1, Code.QUEUE, Code.COOLDOWN)
    assert headline(decision, NOW + 5).endswith("until the cooldown ends in 7.2 s")


def test_times_of_a_story_are_told_as_of_the_tick() -> None:
    story = Story(make_pool(), replicas=8).warmed_up(pending=8)
    decision = story.tick(2)
    at = story.now - 1
    assert sentence(decision.reasons[-1], at) == (
        "8 replicas, the highest recommendation of the last 5 min; fewer in 4 min 59 s"
    )
    assert sentence(decision.reasons[-1], at + 60).endswith("fewer in 3 min 59 s")
