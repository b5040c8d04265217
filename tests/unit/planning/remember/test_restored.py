"""A writer that restores the size of a manifest is named at its first change and not fought; its
later changes are in test_contest.
"""

from __future__ import annotations

from controller.model.servers import named, writer
from support.table import tabled
from unit.planning.story import Story, behavior, make_pool


def settled() -> Story:
    """A pool that the plan itself has set to 5, the size that its work needs."""
    return Story(make_pool(behavior=behavior(down_window_s=0)), replicas=3).tell("3* 5 : 5")


@tabled("manager", ["argocd-controller", "argocd-application-controller", "kustomize-controller"])
def test_a_size_that_gitops_restores_is_left_alone_from_the_first_time(manager: str) -> None:
    settled().tell(
        f"5 size=3 by={manager} : 3 (5) contested set_back times=1 ours=5 theirs=3 by={manager}"
        " window_s=600 until=603"
    )


@tabled("manager", ["", "kubectl", "kubectl-edit", "helm", "my-operator"])
def test_another_writer_may_change_a_size_once_and_is_corrected(manager: str) -> None:
    settled().tell(f"5 size=3 by={manager} : 5")


@tabled(
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
