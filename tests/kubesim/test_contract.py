"""The simulator answers as a real Kubernetes 1.36 did, whose answers are recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentdash.demo.kubesim import ColdStart, KubeSim
from tests.kubesim import comparison as compare
from tests.kubesim.questions import TOPICS, ask

RECORDED = Path(__file__).parent.parent / "fixtures" / "kubernetes"
TOKEN = "contract-admin"
Step = dict[str, Any]
Comparison = Callable[[Any, Any], Iterator[str]]

# Answers that need not be the recorded ones, with the reason. All others must be.
NOT_CLAIMED: dict[tuple[str, str], str] = {}

# Answers that are not compared value by value, with the reason.
RACING = "controllers are at work while the question is asked"
COMPARED: dict[tuple[str, str], tuple[Comparison, str]] = {
    ("discovery", "version"): (compare.same_shape, "names its own build"),
    ("discovery", "api-groups-old"): (compare.by_name("groups", "name"), "serves fewer kinds"),
    ("discovery", "core-resources"): (compare.by_name("resources", "name"), "serves fewer kinds"),
    ("discovery", "apps-resources"): (compare.by_name("resources", "name"), "serves fewer kinds"),
    ("discovery", "aggregated"): (
        compare.by_name("items", "metadata", "name"),
        "serves fewer kinds",
    ),
    ("scale", "patch-same"): (compare.without("body.status.replicas"), RACING),
    ("scale", "patch-unknown-field-warn"): (compare.without("body.status.replicas"), RACING),
    ("scale", "patch-json"): (compare.without("body.status.replicas"), RACING),
    ("pods", "list-starting"): (compare.without("body.items.*.status"), RACING),
    ("limits", "deployment-replica-failure"): (
        compare.without(
            *(
                f"body.status.{name}"
                for name in (
                    "replicas",
                    "updatedReplicas",
                    "readyReplicas",
                    "availableReplicas",
                    "unavailableReplicas",
                    "terminatingReplicas",
                )
            )
        ),
        RACING,
    ),
    ("watch", "changes"): (compare.racing_lines, RACING),
    ("watch", "initial-events"): (compare.racing_lines, RACING),
    ("watch", "without-version"): (compare.racing_lines, RACING),
    ("pod-life", "scale-0-1-0"): (compare.history, "kubelets here report more phases"),
    ("pod-life", "events"): (compare.events_of_controllers, "kubelets here write events"),
    ("deletion", "delete-foreground"): (compare.without("body.status"), RACING),
    ("deletion", "get-foreground"): (compare.without("body.status"), RACING),
}


def _recorded() -> dict[tuple[str, str], Step]:
    return {
        (path.stem, step["step"]): step
        for path in sorted(RECORDED.glob("*.json"))
        for step in json.loads(path.read_text(encoding="utf-8"))
    }


STEPS = _recorded()


async def _ask_the_simulator() -> dict[str, list[Step]]:
    # fast starts, but a second to stop, because the recording's pods were still ending, too
    cold_start = ColdStart(median_s=0.2, sigma=0.1, stop_s=1.0)
    sim = KubeSim(
        speed=1.0,
        seed=7,
        admin_token=TOKEN,
        refuse_anonymous=True,
        cold_start=cold_start,
        compact_every_s=1.5,
        first_version=1000,
    )
    async with sim:
        return await asyncio.to_thread(ask, sim.url, TOKEN)


@pytest.fixture(scope="module")
def answers() -> dict[tuple[str, str], Step]:
    topics = asyncio.run(_ask_the_simulator())
    return {(topic, step["step"]): step for topic, steps in topics.items() for step in steps}


def _differences(key: tuple[str, str], given: Step) -> list[str]:
    wanted = STEPS[key]
    if "observed" in wanted:
        return list(compare.differences(wanted["observed"], given["observed"]))
    how, _ = COMPARED.get(key, (compare.equal, ""))
    left, right = (compare.neutral(step["response"]) for step in (wanted, given))
    envelopes = [compare.envelope(response) for response in (left, right)]
    bodies = [{key: each[key] for key in each.keys() - {"headers"}} for each in (left, right)]
    return [*compare.differences(*envelopes), *how(*bodies)]


@pytest.mark.parametrize("key", sorted(STEPS.keys() - NOT_CLAIMED.keys()), ids="/".join)
def test_an_answer_is_the_recorded_one(
    answers: dict[tuple[str, str], Step], key: tuple[str, str]
) -> None:
    assert key in answers, answers.get((key[0], "unmet"), "the question was not asked")
    assert _differences(key, answers[key]) == []


def test_answers_that_are_exempt_do_differ(answers: dict[tuple[str, str], Step]) -> None:
    for key in NOT_CLAIMED:
        assert key not in answers or _differences(key, answers[key]), f"{key} matches: claim it"


def test_every_question_has_a_recording_and_every_recording_a_question(
    answers: dict[tuple[str, str], Step],
) -> None:
    assert answers.keys() == STEPS.keys()
    assert {topic for topic, _ in STEPS} == {each.__name__.replace("_", "-") for each in TOPICS}
    assert (NOT_CLAIMED.keys() | COMPARED.keys()) <= STEPS.keys()


@pytest.mark.parametrize(
    ("recorded", "given"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({}, {"a": 1}),
        ([1], [1, 2]),
        ({"a": None}, {}),
    ],
)
def test_the_comparison_finds_a_difference(recorded: object, given: object) -> None:
    assert list(compare.equal(recorded, given))
