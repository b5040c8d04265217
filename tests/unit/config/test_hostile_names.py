"""Names that would leave their place in a subject, a path or a bucket, on each kind of name."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote

import pytest

from controller.config import FleetFileError, parse
from controller.model.fleet import Pool
from support.table import tabled

FLEET: Final = """\
version: 1
nats: {{servers: ['nats://127.0.0.1:4222']}}
models: {{{model}: {{limits: {{requests_per_minute: 60}}}}}}
tenants:
  {tenant}: {{tier: growth, namespace: {namespace}}}
pools:
  - name: {name}
    tenant: {tenant}
    deployment: {deployment}
    queue: {{stream: {stream}, consumer: {consumer}}}
    replicas: {{min: 0, max: 3}}
"""
PLAIN: Final = {
    "tenant": "acme",
    "namespace": "tenant-acme",
    "name": "research",
    "deployment": "research",
    "stream": "TASKS",
    "consumer": "research",
    "model": "small",
}
WILD: Final = ("*", ">", "a.*", "a.>", "a b", "a\tb", "a\nb", "a\rb", "a\0b", "")
PATHS: Final = ("..", "../x", "a/b", "a\\b", "/", "./a")


def loaded(kind: str, name: str) -> Pool:
    fields = {each: json.dumps(value) for each, value in (PLAIN | {kind: name}).items()}
    [pool] = parse(FLEET.format(**fields), "fleet.yaml").fleet.pools
    return pool


@tabled("name", [*WILD, *PATHS])
@tabled("kind", [kind for kind in PLAIN if kind != "model"])
def test_a_name_that_would_leave_its_place_is_refused(kind: str, name: str) -> None:
    assert loaded(kind, PLAIN[kind])
    with pytest.raises(FleetFileError) as caught:
        loaded(kind, name)
    assert f"{kind}s" in str(caught.value) or f".{kind}" in str(caught.value)


@tabled("name", [*WILD, "..", "../x", "a\\b", "/", "./a"])
def test_a_models_name_may_have_parts_and_nothing_else(name: str) -> None:
    with pytest.raises(FleetFileError, match="models"):
        loaded("model", name)
    assert loaded("model", "anthropic/claude-x:1@eu")


@tabled("name", ["a.b", "$JS", "a%2fb", "a?b=c", "a#b", "a\u202eb"])
@tabled("kind", [kind for kind in PLAIN if kind != "model"])
def test_a_name_that_is_accepted_is_one_token_of_a_subject_and_one_part_of_a_path(
    kind: str, name: str
) -> None:
    try:
        pool = loaded(kind, name)
    except FleetFileError:
        return
    assert not {".", "*", ">", " "}.intersection(pool.stream + pool.consumer)
    assert str(pool.key).count("/") == 1
    assert "/" not in quote(pool.namespace, safe="") + quote(pool.deployment, safe="")
    assert {kind} <= {"stream", "consumer", "deployment"}
