"""All problems of a fleet file are reported at once: where, what, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from controller.config import FleetFileError, load, parse
from controller.config.document import Problem
from support.table import tabled

Complain = Callable[[str], list[str]]
Dump = Callable[[object], str]

HEAD = """\
version: 1
nats: {servers: [nats://localhost]}
tenants: {acme: {tier: growth}}
"""
POOL = ["name: a", "tenant: acme", "queue: {stream: S, consumer: c}", "replicas: {max: 3}"]


def with_pools(*pools: list[str]) -> str:
    """A fleet file with these pools; the first one's first key is on line 5, column 5."""
    return HEAD + "pools:\n" + "".join("  - " + "\n    ".join(pool) + "\n" for pool in pools)


def changed(*keys: str) -> list[str]:
    """The keys of a correct pool, with these keys first and in place of its own."""
    names = {key.partition(":")[0] for key in keys}
    return [*keys, *(line for line in POOL if line.partition(":")[0] not in names)]


CASES = [
    (place["file"], case["write"], case["say"])
    for place in yaml.safe_load(
        Path(__file__).with_name("complaints.yaml").read_text("utf-8")
    ).values()
    for case in place["cases"]
]


@tabled(("file", "written", "said"), CASES)
def test_a_mistake_is_named_where_it_stands_and_no_secret_is_repeated(
    complaints: Complain, file: str | None, written: str, said: str | list[str]
) -> None:
    text = with_pools(changed(written)) if file is None else file.replace("@@", written)
    expected = [said] if isinstance(said, str) else said
    assert complaints(text) == [f"fleet.yaml:{line}" for line in expected]
    assert not any(secret in line for secret in ("hunter2", "777") for line in expected)


def test_of_thousands_of_problems_the_first_are_printed_and_the_others_counted() -> None:
    problem = Problem(file="fleet.yaml", line=1, column=1, path="pools", message="odd")
    error = FleetFileError(replace(problem, line=line) for line in range(5_000))
    assert len(error.errors) == 5_000
    first, *_, last = str(error).splitlines()
    assert (first, last) == (str(error.errors[0]), "and 4,980 more")
    assert len(str(error).splitlines()) == 21


def test_all_problems_are_reported_at_once_in_the_files_order(complaints: Complain) -> None:
    text = """\
version: 1
nats: {servers: [nats://localhost]}
tiers: {gold: {priority: high}}
tenants:
  acme: {tier: gld}
pools:
  - name: a
    tenant: acm
    queue: {stream: S, consumer: c}
    replicas: {min: 5, max: 3}
    colldown: 15m
  - {name: b, tenant: acme, queue: {stream: S, consumer: c}}
  - name: a
    tenant: acm
    queue: {stream: S}
    replicas: {max: 1}
    name: b
"""
    assert complaints(text) == [
        'fleet.yaml:3:26: tiers.gold.priority: must be a whole number, not "high"',
        'fleet.yaml:5:16: tenants.acme.tier: no tier is called "gld"; did you mean "gold"?',
        'fleet.yaml:8:13: pools[0].tenant: no tenant is called "acm"; did you mean "acme"?',
        "fleet.yaml:10:29: pools[0].replicas.max: the number 3 must be at least min (5)",
        'fleet.yaml:11:5: pools[0].colldown: unknown key; did you mean "cooldown"?',
        (
            "fleet.yaml:12:5: pools[1].replicas: is required. The least and the most replicas of "
            "the pool."
        ),
        (
            'fleet.yaml:12:58: pools[1].queue.consumer: another pool is fed by the consumer "S/c" '
            "already (line 9): give each its own"
        ),
        (
            'fleet.yaml:13:11: pools[2].name: another pool is called "acm/a" already (line 7): '
            "give each its own"
        ),
        'fleet.yaml:14:13: pools[2].tenant: no tenant is called "acm"; did you mean "acme"?',
        "fleet.yaml:15:12: pools[2].queue.consumer: is required. The durable consumer's name.",
        "fleet.yaml:17:5: pools[2].name: stands here twice (first on line 13): remove one",
    ]


@tabled(
    ("keys", "complaint"),
    [
        ([], '10:11: pools[1].name: another pool is called "acme/a" already (line 5): give each'),
        (["deployment: x"], '11:11: pools[1].name: another pool is called "acme/a" already'),
        (["name: b", "deployment: a"], "10:17: pools[1].deployment: another pool scales the De"),
        (["deployment: a", "name: b"], 'the Deployment "acme/a" already (line 5): give each its'),
        (
            ["statefulset: x", "deployment: y", "name: b"],
            "pools[1]: is one workload: give deployment or statefulset, and take the other out",
        ),
    ],
)
def test_two_pools_may_not_have_the_same_name_or_deployment(
    complaints: Complain, keys: list[str], complaint: str
) -> None:
    second = changed(*keys, "queue: {stream: S, consumer: d}")
    (line,) = complaints(with_pools(POOL, second))
    assert complaint in line


def test_two_pools_may_not_share_a_stateful_set(complaints: Complain) -> None:
    first = changed("statefulset: x")
    second = changed("name: b", "statefulset: x", "queue: {stream: S, consumer: d}")
    (line,) = complaints(with_pools(first, second))
    assert 'pools[1].statefulset: another pool scales the StatefulSet "acme/x" already' in line


def test_a_stateful_set_may_be_called_like_the_deployment_of_another_pool(
    complaints: Complain,
) -> None:
    second = changed("name: b", "statefulset: a", "queue: {stream: S, consumer: d}")
    assert complaints(with_pools(POOL, second)) == []


def test_two_pools_may_not_share_a_consumer(complaints: Complain) -> None:
    (line,) = complaints(with_pools(POOL, changed("name: b")))
    assert line == (
        'fleet.yaml:11:34: pools[1].queue.consumer: another pool is fed by the consumer "S/c" '
        "already (line 7): give each its own"
    )


def test_two_tenants_in_one_namespace_may_not_share_a_deployment(complaints: Complain) -> None:
    second = changed("tenant: globex", "queue: {stream: S, consumer: d}")
    tenants = "tenants: {globex: {tier: growth, namespace: acme}, acme"
    (line,) = complaints(with_pools(POOL, second).replace("tenants: {acme", tenants))
    assert 'pools[1].name: another pool scales the Deployment "acme/a" already (line 5)' in line


def test_messages_hold_no_harmful_characters(complaints: Complain, tmp_path: Path) -> None:
    evil = "\\e]0;x\\a\\u202e"
    text = f'"{evil}": 1\nversion: "{evil}"\npools: [{{tenant: "{evil}", name: "{evil}"}}]'
    lines = complaints(text)
    assert len(lines) > 5
    assert not any(character in line for line in lines for character in "\x1b\x07\u202e")
    with pytest.raises(FleetFileError) as caught:
        load(tmp_path / "\x1b]0;x")
    assert "\x1b" not in str(caught.value)


def test_messages_repeat_only_the_beginning_of_a_long_text(complaints: Complain) -> None:
    (line,) = complaints(HEAD + f"kubernetes: {{selector: '{'a b' * 1000}'}}")
    assert len(line) < 300


def test_each_of_hundreds_of_unknown_names_gets_a_message(
    fleet: dict[str, Any], dump: Dump
) -> None:
    fleet["tenants"] = {f"tenant-{number:04}-x": {"tier": "growth"} for number in range(200)}
    fleet["pools"] = [fleet["pools"][0] | {"tenant": f"tenent-{n:04}"} for n in range(200)]
    with pytest.raises(FleetFileError) as caught:
        parse(dump(fleet), "fleet.yaml")
    unknown = [error for error in caught.value.errors if error.path.endswith(".tenant")]
    assert len(unknown) == 200
    assert "did you mean" in unknown[0].message
    assert "; there are: tenant-0000-x, " in unknown[-1].message  # not compared with each
    assert unknown[-1].message.endswith(" and 190 more")


NEVER_BEGINS = "must be more than 0s: a task could never begin"
MEANT = '; did you mean "gpt-small"?'


def test_a_session_and_a_router_are_checked(complaints: Complain) -> None:
    wrong = changed(
        "session: {tokens: 0, duration: 0s, tool_call: 3}",
        "router: [gpt-smal]",
    )
    text = with_pools(wrong).replace("tenants:", "models: {gpt-small: {}}\ntenants:", 1)
    assert complaints(text) == [
        "fleet.yaml:6:23: pools[0].session.tokens: must be at least 1, not the number 0",
        f'fleet.yaml:6:36: pools[0].session.duration: "0s" {NEVER_BEGINS}',
        'fleet.yaml:6:40: pools[0].session.tool_call: unknown key; did you mean "tool_calls"?',
        f'fleet.yaml:7:14: pools[0].router[0]: no model is called "gpt-smal"{MEANT}',
    ]


def test_a_router_names_each_model_once(complaints: Complain) -> None:
    text = with_pools(changed("router: [m, m]")).replace("tenants:", "models: {m: {}}\ntenants:", 1)
    assert complaints(text) == [
        "fleet.yaml:6:13: pools[0].router: names a model twice: remove one",
    ]
