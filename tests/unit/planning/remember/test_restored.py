"""A writer that restores the size of a manifest is named at its first change and not fought."""

from __future__ import annotations

import pytest

from controller.model.decision import Code, Decision, Gate
from controller.model.observation import Workload
from controller.model.readings import Fresh
from controller.model.servers import named, writer
from unit.planning.story import Story, behavior, codes, make_pool

CONTESTED_S, RESTORED_S = 600, 3600


def settled() -> Story:
    """A pool that the plan itself has set to 5, the size that its work needs."""
    story = Story(make_pool(behavior=behavior(down_window_s=0)), replicas=3)
    story.ticks(3, pending=5)
    assert story.replicas == 5
    return story


def set_by(story: Story, manager: str, replicas: int) -> Decision:
    """This field manager sets the size, and the plan decides."""
    story.replicas = replicas
    seen = Workload(replicas=replicas, sized_by=manager)
    return story.tick(5, workload=Fresh(value=seen, at=story.now))


@pytest.mark.parametrize(
    "manager",
    ["argocd-controller", "argocd-application-controller", "kustomize-controller"],
)
def test_a_size_that_gitops_restores_is_left_alone_from_the_first_time(manager: str) -> None:
    story = settled()
    decision = set_by(story, manager, 3)
    assert (decision.target, decision.next, decision.gate) == (5, 3, Gate.CONTESTED)
    assert codes(decision)[-1] is Code.SET_BACK
    assert decision.reasons[-1].numbers == {
        "times": 1,
        "ours": 5,
        "theirs": 3,
        "by": manager,
        "window_s": 600.0,
        "until": story.now - 1 + CONTESTED_S,
    }


@pytest.mark.parametrize("manager", ["", "kubectl", "kubectl-edit", "helm", "my-operator"])
def test_another_writer_may_change_a_size_once_and_is_corrected(manager: str) -> None:
    assert set_by(settled(), manager, 3).next == 5


def test_after_ten_minutes_the_plan_tries_again() -> None:
    story = settled()
    set_by(story, "kustomize-controller", 3)
    assert story.ticks(CONTESTED_S, pending=5).index(5) == CONTESTED_S - 1


def test_a_size_that_gitops_restores_again_is_left_alone_for_an_hour() -> None:
    story = settled()
    set_by(story, "kustomize-controller", 3)
    story.ticks(CONTESTED_S + 2, pending=5)
    story.wait(1_200)
    decision = set_by(story, "kustomize-controller", 3)
    assert (decision.gate, decision.reasons[-1].numbers["times"]) == (Gate.CONTESTED, 2)
    assert decision.reasons[-1].numbers["until"] == story.now - 1 + RESTORED_S
    assert story.ticks(RESTORED_S, pending=5).index(5) == RESTORED_S - 1
    assert story.remembered.set_back == ()


def test_a_size_that_gitops_restores_once_in_a_while_is_left_alone_for_ten_minutes() -> None:
    story = settled()
    for _ in range(2):
        decision = set_by(story, "argocd-controller", 3)
        assert decision.reasons[-1].numbers["times"] == 1
        story.ticks(CONTESTED_S + 2, pending=5)
        story.wait(RESTORED_S)


def test_a_person_who_changes_the_size_ends_the_wait_for_gitops() -> None:
    story = settled()
    set_by(story, "argocd-controller", 3)
    assert set_by(story, "kubectl", 4).next == 5


def test_a_pool_that_is_restored_remembers_nothing_new_while_nothing_happens() -> None:
    story = settled()
    set_by(story, "argocd-controller", 3)
    story.ticks(CONTESTED_S + 5, pending=5)
    before = story.remembered.set_back
    story.tick(5)
    assert len(before) == 1
    assert story.remembered.set_back is before


@pytest.mark.parametrize(
    ("manager", "words", "to_do"),
    [
        ("argocd-controller", "argocd-controller (Argo CD)", "ignoreDifferences"),
        ("kustomize-controller", "kustomize-controller (Flux)", "Kustomization"),
        ("helm-controller", "helm-controller (Flux)", "driftDetection.ignore"),
        ("kubectl-edit", "kubectl-edit (a person or a script)", "freeze the pool"),
        ("agentdash", "agentdash (another agentdash)", "the same lease"),
        ("my-operator", "my-operator", "freeze the pool"),
        ("", "another writer", "remove its other autoscaler"),
    ],
)
def test_each_writer_is_named_with_what_to_do(manager: str, words: str, to_do: str) -> None:
    assert named(manager) == words
    assert to_do in writer(manager).to_do
