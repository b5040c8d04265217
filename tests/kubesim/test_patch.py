"""Patches change only what they name; lists of named things are merged by their keys."""

from __future__ import annotations

import copy

import pytest

from agentdash.demo.kubesim import StatusError, patch

POD = {
    "metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x"]},
    "spec": {
        "containers": [
            {"name": "one", "image": "i:1", "env": [{"name": "A", "value": "1"}], "args": ["x"]},
            {"name": "two", "image": "i:1", "ports": [{"containerPort": 80, "name": "web"}]},
        ],
        "tolerations": [{"key": "a"}],
    },
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


def test_a_patch_leaves_its_target_alone() -> None:
    before = copy.deepcopy(POD)
    patch.strategic(POD, {"spec": {"containers": [{"name": "one", "image": "i:2"}]}})
    patch.merge(POD, {"spec": {"containers": None}})
    patch.apply(patch.JSON_PATCH, POD, [{"op": "remove", "path": "/spec/containers/0"}])
    assert before == POD


def test_merge_removes_with_null_and_replaces_lists() -> None:
    merged = patch.merge(POD, {"metadata": {"labels": {"a": None}, "finalizers": []}})
    assert merged["metadata"] == {"labels": {"b": "2"}, "finalizers": []}


def test_strategic_merge_finds_containers_environment_ports_and_conditions_by_key() -> None:
    merged = patch.strategic(
        POD,
        {
            "spec": {
                "containers": [
                    {"name": "two", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
                    {"name": "one", "env": [{"name": "B", "value": "2"}]},
                    {"name": "three", "image": "i:3"},
                ]
            },
            "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Other"}]},
        },
    )
    one, two, three = merged["spec"]["containers"]
    assert one["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert two["ports"] == [{"containerPort": 80, "name": "web", "protocol": "TCP"}]
    assert three == {"name": "three", "image": "i:3"}
    assert [each["type"] for each in merged["status"]["conditions"]] == ["Ready", "Other"]
    assert merged["status"]["conditions"][0]["status"] == "False"


def test_strategic_merge_replaces_lists_without_a_key_and_joins_sets() -> None:
    body = {
        "metadata": {"finalizers": ["y"]},
        "spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "one", "args": ["y"]}]},
    }
    merged = patch.strategic(POD, body)
    assert merged["spec"]["tolerations"] == [{"key": "b"}]
    assert merged["spec"]["containers"][0]["args"] == ["y"]
    assert merged["metadata"]["finalizers"] == ["x", "y"]


def test_strategic_directives_delete_replace_and_order() -> None:
    dropped = {"spec": {"containers": [{"name": "one", "$patch": "delete"}]}}
    assert [each["name"] for each in patch.strategic(POD, dropped)["spec"]["containers"]] == ["two"]
    only = {"spec": {"containers": [{"$patch": "replace"}, {"name": "new"}]}}
    assert patch.strategic(POD, only)["spec"]["containers"] == [{"name": "new"}]
    order = {
        "spec": {
            "$setElementOrder/containers": [{"name": "two"}, {"name": "one"}],
            "containers": [],
        }
    }
    names = [each["name"] for each in patch.strategic(POD, order)["spec"]["containers"]]
    assert names == ["two", "one"]
    less = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}
    assert patch.strategic(POD, less)["metadata"]["finalizers"] == []
    whole = {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}
    assert patch.strategic(POD, whole)["metadata"]["labels"] == {"c": "3"}


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("application/json", b"{}", 415),
        (patch.MERGE, b"{not json", 400),
        (patch.MERGE, b"", 400),
        (patch.APPLY, b"a: [", 400),
    ],
)
def test_what_is_no_patch_is_refused(kind: str, body: bytes, code: int) -> None:
    with pytest.raises(StatusError) as refused:
        patch.parse(kind, body)
    assert refused.value.code == code


@pytest.mark.parametrize("body", [[{"op": "test", "path": "/a", "value": 1}], {}, [{"op": "?"}]])
def test_a_json_patch_that_does_not_apply_is_422(body: object) -> None:
    with pytest.raises(StatusError) as refused:
        patch.apply(patch.JSON_PATCH, {"a": 2}, body)
    assert refused.value.code == 422 or body == {}
