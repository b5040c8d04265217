"""Every reason in words, its times as seen from now."""

from __future__ import annotations

import math

from controller.model.decision import Code, Decision, Number, Reason
from controller.model.ids import PoolKey
from controller.planning.explain import duration, headline, sentence, title
from support.table import tabled

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
    "free": 2,
    "load": 0.25,
    "share": 0.5,
    "pools": 40,
    "service_s": 41.5,
    "ready_s": 8.2,
    "hold_s": 300.0,
    "likely": 2,
    "limit": "quota",
    "tokens": 8_000_000,
}
SENTENCES = {
    Code.QUEUE: "12 pending + 3 in flight, 1 task per replica (2 slots): 4 replicas",
    Code.WOKEN: "4 replicas or more: a message was published 1 min 15 s ago, before the queue was"
    " read",
    Code.WORTH_STARTING: "4 replicas: 2 for these messages, and 2 more because about 3.25 tasks"
    " arrive per minute and a new replica is ready only after 8.2 s",
    Code.REDELIVERED: "2 messages in flight came back after an earlier delivery: for these alone"
    " no more than 4 replicas",
    Code.METRIC: "lag is 15.5, its target is 1 per replica: 4 replicas",
    Code.COOLDOWN: "idle, but kept at 4 replicas until the cooldown ends in 12 s",
    Code.ASLEEP: "idle for longer than the cooldown of 15 min: to zero",
    Code.WORKLOAD_UNKNOWN: "the workload is not known (timed out, 1 min 15 s): nothing is written",
    Code.HELD_WARM_UP: "held at 4 replicas: nothing is taken away before 5 min have been observed,"
    " 12 s to go",
    Code.PINNED: "3 spares pinned by mara (OPS-881): 4 replicas",
    Code.QUOTA: "the tenant's quota (quota-cpu:acme: 4,000) leaves 4 replicas to this pool",
    Code.BUDGET: "82.4 % of the day's tokens are used, and a pace of 500 tokens/min feeds 4"
    " replicas, and at the present burn they are spent in 2 h 5 min, 3 h 10 min before the reset",
    Code.BUDGET_SET: "mara set the day's budget to 8,000,000 tokens (OPS-881)",
    Code.COST_ALERT: "the tenant's pools cost 41.25 USD per hour, at or above its alert of 40",
    Code.CONTESTED: "argocd-controller (Argo CD) keeps setting it back, 3 times, last from 5 to 9:"
    " left at 4 replicas until that has not happened for 5 min, 12 s to go",
    Code.NOT_BECOMING_READY: "1 pod crash, cannot start or fit nowhere: no more than 4 replicas"
    " until they are ready",
}


@tabled("code", SENTENCES)
def test_a_sentence_has_the_numbers_with_their_nouns_and_times(code: Code) -> None:
    assert sentence(Reason(code=code, value=4, numbers=NUMBERS), NOW) == SENTENCES[code]


@tabled("code", list(Code))
def test_every_code_has_a_title_and_a_sentence_of_which_all_numbers_are_known(code: Code) -> None:
    told = sentence(Reason(code=code, value=4, numbers=NUMBERS), NOW)
    assert title(code)
    assert not {"?", "{", "}"} & set(told)
    assert len(told) > 15


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


@tabled("code", list(Code))
def test_absurd_and_missing_numbers_are_shown_and_never_raise(code: Code) -> None:
    for number in ABSURD:
        value = number if isinstance(number, int) else None
        assert sentence(Reason(code=code, value=value, numbers=dict.fromkeys(NUMBERS, number)), NOW)
    assert "{" not in sentence(Reason(code=code), NOW)


@tabled(
    ("code", "numbers", "said"),
    [
        (
            Code.BUDGET,
            {"used_percent": 90.0, "pace_per_minute": 12.5},
            "90 % of the day's tokens are used, and a pace of 12.5 tokens/min feeds 4 replicas",
        ),
        *(
            (Code.AT_MAX, {"max": each}, "at most ? replicas (max)")
            for each in (math.nan, math.inf, 1e300)
        ),
        *(
            (Code.PAUSED, {"who": "ann", "reason": why}, f"paused by ann{said}: nothing new starts")
            for why, said in (("OPS-1", " (OPS-1)"), ("", ""), ("-", ""))
        ),
        (Code.AT_MAX, {"max": 1}, "at most 1 replica (max)"),
        (
            Code.WORKLOAD_UNKNOWN,
            {"why": "never_read"},
            "the workload is not known (never read): nothing is written",
        ),
    ],
)
def test_a_sentence_says_only_what_is_known(
    code: Code, numbers: dict[str, Number], said: str
) -> None:
    assert sentence(Reason(code=code, value=4, numbers=numbers), NOW) == said


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


@tabled(
    ("decision", "line"),
    [
        (
            decided(4, 10, 4, 4, Code.QUEUE, Code.AT_MAX),
            "4 (wanted 10): at most 4 replicas (max)",
        ),
        (
            decided(3, 3, 3, 3, Code.QUEUE),
            f"3: {SENTENCES[Code.QUEUE].replace('4 replicas', '3 replicas')}",
        ),
        (
            decided(3, 0, 1, 3, Code.QUEUE, Code.HELD_WARM_UP),
            "now 3 → next 3 (target 1, wanted 0): "
            + SENTENCES[Code.HELD_WARM_UP].replace("4 replicas", "3 replicas"),
        ),
        (
            decided(0, 9, 4, 4, Code.QUEUE, Code.AT_MAX),
            "now 0 → next 4 (target 4, wanted 9): at most 4 replicas (max)",
        ),
        (
            decided(None, 9, None, None, Code.WORKLOAD_UNKNOWN),
            f"now ? (wanted 9): {SENTENCES[Code.WORKLOAD_UNKNOWN]}",
        ),
        (decided(2, 2, 2, 2), "2"),
    ],
)
def test_a_headline_is_the_numbers_and_the_last_rule(decision: Decision, line: str) -> None:
    assert headline(decision, NOW) == line


@tabled(
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


@tabled(
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

    # the clock of a dashboard may be behind the leader's
    early = Reason(code=Code.QUEUE_UNKNOWN, numbers={"why": "timed_out", "since": NOW})
    assert "(timed out, 0 s)" in sentence(early, NOW - 3)
    decision = decided(1, 0, 1, 1, Code.QUEUE, Code.COOLDOWN)
    assert headline(decision, later).endswith(f"until the cooldown ends in {until}")
