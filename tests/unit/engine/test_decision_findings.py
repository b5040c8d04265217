"""What was decided and calls for somebody: shown among the findings, and logged once."""

from __future__ import annotations

import logging

import pytest

from controller.engine.actuate import Recorder
from controller.engine.show.findings import decision_findings
from controller.model.decision import Code, Decision, Number, Reason
from controller.model.snapshot import Severity
from support.world import START, make_pool
from unit.engine.conftest import Harness

RESEARCH = make_pool("research", minimum=1)
POISONED: dict[str, Number] = {"redelivered": 4, "deliveries": 12, "since": START - 90}


def decision(*reasons: Reason) -> Decision:
    return Decision(
        pool=RESEARCH.key,
        current=2,
        demand=2,
        recommendation=2,
        target=2,
        next=2,
        reasons=reasons,
    )


@pytest.mark.parametrize(
    ("reason", "what", "advice"),
    [
        (
            Reason(
                code=Code.CONTESTED,
                value=2,
                numbers={
                    "times": 3,
                    "ours": 5,
                    "theirs": 2,
                    "window_s": 600.0,
                    "until": START + 60,
                },
            ),
            "another writer keeps setting it back, 3 times, last from 5 to 2: left at 2 replicas",
            "remove its other autoscaler",
        ),
        (
            Reason(
                code=Code.SET_BACK,
                value=3,
                numbers={
                    "times": 1,
                    "ours": 5,
                    "theirs": 3,
                    "by": "argocd-controller",
                    "window_s": 600.0,
                    "until": START + 60,
                },
            ),
            "set back from 5 to 3 by argocd-controller (Argo CD): left at 3 replicas",
            "list /spec/replicas under ignoreDifferences",
        ),
        (
            Reason(code=Code.POISON, value=2, numbers=POISONED),
            "4 messages in flight come back again and again and no others wait",
            "agentdash dead list",
        ),
        (
            Reason(
                code=Code.BLIND_FOR_LONG, value=2, numbers={"since": START - 900, "after_s": 600.0}
            ),
            "its work has not been known for 15 min, longer than 10 min",
            "until its queue and metrics can be read again",
        ),
        (
            Reason(
                code=Code.ANNOTATION_UNREADABLE,
                value=2,
                numbers={"annotation": "autoscaling.keda.sh/paused-replicas", "text": "two"},
            ),
            "the workload's annotation autoscaling.keda.sh/paused-replicas is not a number",
            "set it to a whole number, or remove it",
        ),
    ],
)
def test_what_goes_on_until_somebody_acts_is_a_warning_with_what_to_do(
    reason: Reason, what: str, advice: str
) -> None:
    [(severity, subject, kind, text)] = decision_findings([decision(reason)], START)
    assert (severity, subject, kind) == (Severity.WARNING, RESEARCH.key, reason.code)
    assert text.startswith(what)
    assert advice in text


def test_each_queue_of_a_pool_has_its_own_finding() -> None:
    both = [
        Reason(code=Code.POISON, value=2, numbers={**POISONED, "queue": f"TASKS/{name}"})
        for name in ("high", "low")
    ]
    found = list(decision_findings([decision(*both)], START))
    assert [(subject, kind) for _, subject, kind, _ in found] == [
        (RESEARCH.key, "poison TASKS/high"),
        (RESEARCH.key, "poison TASKS/low"),
    ]
    assert "4 messages in flight of TASKS/low come back" in found[1][3]


def test_no_advice_leads_to_a_limit_of_deliveries() -> None:
    poison = Reason(code=Code.POISON, value=2, numbers=POISONED)
    [(_, _, _, text)] = decision_findings([decision(poison)], START)
    assert text.endswith("with max_deliver they would be lost")
    assert "AGENTDASH_ATTEMPTS" in text


def test_a_decision_like_any_other_calls_for_nobody() -> None:
    usual = [Reason(code=code) for code in (Code.QUEUE, Code.AT_MAX, Code.REDELIVERED)]
    assert list(decision_findings([decision(*usual)], START)) == []


async def test_a_contested_pool_is_among_the_findings_until_the_contest_ends() -> None:
    world = Harness(RESEARCH, replicas=1)
    world.queue(RESEARCH, pending=5)
    async with world.running():
        for _ in range(3):
            await world.clock.advance(2.0)
            world.cluster.set(RESEARCH, 1)
        await world.clock.advance(2.0)
        [finding] = (await world.snapshot()).findings
        assert (finding.subject, finding.kind) == (RESEARCH.key, "contested")
        await world.clock.advance(10.0)
        [later] = (await world.snapshot()).findings
        assert later.since == finding.since
        await world.clock.advance(600.0)
        assert (await world.snapshot()).findings == ()


def test_what_calls_for_somebody_is_logged_once_for_as_long_as_it_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    poisoned = decision(Reason(code=Code.POISON, value=2, numbers=POISONED))
    recorder = Recorder(writes=True)
    history = [poisoned, poisoned, decision(), poisoned]
    with caplog.at_level(logging.WARNING):
        for each in history:
            recorder.decided(START, [each])
    lines = [record for record in caplog.records if record.message == "needs attention"]
    assert [line.__dict__["kind"] for line in lines] == [Code.POISON, Code.POISON]
    assert lines[0].__dict__["pool"] == RESEARCH.key
