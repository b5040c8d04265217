"""Pods whose node is about to end carry the taint that says so."""

from __future__ import annotations

from controller.engine.observe import EndingPods
from controller.model.ids import PoolKey
from controller.model.observation import Pod, PodPhase, Pods
from controller.model.readings import Absent, Fresh, Stale, Why, last_known

POOL = PoolKey("acme/research")
PODS = Pods(
    ready=2,
    items=(
        Pod(name="a", phase=PodPhase.READY, node="n-1"),
        Pod(name="b", phase=PodPhase.READY, node="n-2"),
    ),
)
ENDING = {"n-2": "spot"}


def test_only_the_pods_on_that_node_are_marked_and_the_reading_stays_the_same_object() -> None:
    ending, read = EndingPods(), Fresh(value=PODS, at=1.0)
    found = ending.marked(POOL, read, ENDING)
    pods = last_known(found)
    assert pods is not None
    assert [(pod.name, pod.node_ends) for pod in pods.items] == [("a", ""), ("b", "spot")]
    assert ending.marked(POOL, read, dict(ENDING)) is found
    assert ending.marked(POOL, read, {}) is read


def test_other_pods_or_another_node_are_marked_anew() -> None:
    ending, read = EndingPods(), Fresh(value=PODS, at=1.0)
    ending.marked(POOL, read, ENDING)
    old = Stale(value=PODS, at=1.0, why=Why.DISCONNECTED)
    pods = last_known(ending.marked(POOL, old, {"n-1": "spot"}))
    assert pods is not None
    assert [pod.node_ends for pod in pods.items] == ["spot", ""]


def test_pods_of_other_nodes_and_unknown_pods_stay_as_they_are() -> None:
    ending, read = EndingPods(), Fresh(value=PODS, at=1.0)
    assert ending.marked(POOL, read, {"n-9": "spot"}) is read
    absent = Absent(why=Why.NEVER_READ)
    assert ending.marked(POOL, absent, ENDING) is absent
