from __future__ import annotations

import json

import msgspec

from controller.kube.rivals import NamespaceSwitch


def namespace(**annotations: str) -> msgspec.Raw:
    found = {
        "metadata": {
            "name": "tenant-acme",
            "annotations": {f"agentdash.dev/{name}": text for name, text in annotations.items()},
        }
    }
    return msgspec.Raw(json.dumps(found).encode())


def switch(changes: list[None]) -> NamespaceSwitch:
    return NamespaceSwitch(lambda: changes.append(None))


def test_an_annotation_freezes_and_its_text_is_cleaned() -> None:
    changes: list[None] = []
    found = switch(changes)
    found.replace([namespace(freeze="audit \x1b[2J")])
    assert found.freeze == "audit \N{REPLACEMENT CHARACTER}[2J"
    found.put(namespace(freeze="audit \x1b[2J", other="new"))
    assert len(changes) == 1
    found.put(namespace(other="new"))
    assert found.freeze is None
    assert len(changes) == 2


def test_an_object_that_cannot_be_read_leaves_the_switch_as_it_was() -> None:
    found = switch([])
    found.put(namespace(freeze="audit"))
    found.put(msgspec.Raw(b'{"metadata": {"annotations": []}}'))
    found.replace([msgspec.Raw(b"[")])
    assert (found.freeze, found.count()) == ("audit", 1)


def test_a_namespace_that_is_gone_freezes_nothing() -> None:
    for empty in (
        lambda found: found.remove(namespace(freeze="audit")),
        lambda found: found.replace([]),
    ):
        found = switch([])
        found.put(namespace(freeze="audit"))
        empty(found)
        assert (found.freeze, found.count()) == (None, 0)
