"""All problems of a fleet file are reported at once: where, what, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.config import FleetFileError, load, parse

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


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "1:1: is empty: a fleet file has at least version and nats"),
        ("# only this\n", "1:1: is empty: a fleet file has at least version and nats"),
        ("- a", "1:1: must be a mapping, not a list: write version: 1"),
        ("version 1", '1:1: must be a mapping, not "version 1": write version: 1'),
        ("nats: {servers: [nats://h]}", "1:1: version: is required. The version of this format: 1"),
        ("version: 1", "1:1: nats: is required. Where the queues are."),
        ("version: 1\nnats:", "2:6: nats: is required. Where the queues are."),
        (HEAD.replace("1", "2", 1), "1:10: version: must be 1, not the number 2"),
        (HEAD + "pools: {a: b}", "4:8: pools: must be a list, not a mapping; write [...]"),
        (HEAD + "pools: [x]", '4:9: pools[0]: must be a mapping, not "x": write {name: ...'),
        (HEAD + "pools: [null]", "4:9: pools[0]: must be a mapping, not nothing: write"),
        (HEAD + "tiers: 3", "4:8: tiers: must be a mapping of names, not the number 3"),
        (HEAD + "tiers: {A B: {priority: 1}}", '4:9: tiers."A B": "A B" must be a DNS label'),
        (
            HEAD + "tiers: {}",
            '3:24: tenants.acme.tier: no tier is called "growth"; add it to tiers',
        ),
        (HEAD + "controller: {read_only: yes}", "controller.read_only: must be true or false, not"),
        (HEAD + "controller: {interval: 1:30}", 'interval: "1:30" must be a duration: a number of'),
        (HEAD + "controller: {interval: 1ms}", '"1ms" must be between 100ms and 5m'),
        (
            HEAD + "controller: {min: 1}",
            "unknown key; known here: freeze_file, interval, journal, lease, read_only",
        ),
        (
            HEAD + "kubernetes: {selector: 'a ='}\npool: []",
            '5:1: pool: unknown key; did you mean "p',
        ),
        (
            HEAD + "kubernetes: {selector: 'a b'}",
            '4:24: kubernetes.selector: "a b" must be a label',
        ),
        (
            HEAD + 'kubernetes: {context: "a\\eb"}',
            'context: "a�b" is too long, or holds characters',
        ),
        (HEAD + "kubernetes: {context: ''}", "4:23: kubernetes.context: must not be empty"),
        (HEAD + "1: 2", "4:1: a key must be text: put it in quotes"),
    ],
)
def test_the_files_top_level(complaints: Complain, text: str, complaint: str) -> None:
    assert any(f"fleet.yaml:{complaint}" in line or complaint in line for line in complaints(text))


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("name: 5", "5:11: pools[0].name: must be text, not the number 5: put it in quotes"),
        ("name: yes!", '"yes!" must be a DNS label'),
        ("name: true", "must be text, not true: put it in quotes"),
        ("deployment: A_b", '"A_b" must be a DNS subdomain'),
        ("tenant: globex", 'no tenant is called "globex"; there are: acme'),
        ("tenant: []", "pools[0].tenant: must be text, not a list"),
        ("queue: {stream: a.b, consumer: c}", '"a.b" must be 1 to 255 characters without spaces'),
        ("queue: S/c", 'must be a mapping, not "S/c": write {stream: TASKS, consumer:'),
        ("slots: 0", "must be at least 1, not the number 0"),
        ("slots: 1.0", "must be a whole number, not the number 1.0"),
        ("slots: '1'", 'must be a whole number, not "1"'),
        ("slots: 010", 'must be a whole number, not "010"'),
        ("slots: 99999999999999999999", "must be a whole number"),
        ("replicas: {min: -1, max: 1}", "must be at least 0, not the number -1"),
        ("replicas: {min: 2}", "pools[0].replicas.max: is required. Never more replicas."),
        ("replicas: {max: 1000000}", "must be at most 100000, not the number 1000000"),
        ("target: 0", "must be at least 1"),
        ("activation: -1", "must be at least 0"),
        ("cooldown: -5", "the number -5 must be between 0s and 720h"),
        ("cooldown: 721h", '"721h" must be between 0s and 720h'),
        ("cooldown: 1d", '"1d" must be a duration: a number of seconds, or like "15m"'),
        ("cooldown: true", "true must be a duration"),
        ("cooldown: [1]", "must be a duration"),
        ("cooldown: .nan", '".nan" must be a duration'),
        ("cooldown: 1e999", "must be a duration"),
        ("rule: keda", 'must be "native" or "hpa", not "keda"'),
        ("rule: [hpa]", 'must be "native" or "hpa", not a list'),
        ("min: 1", "pools[0].min: unknown key here; it belongs under replicas"),
        ("schedule: []", 'unknown key; did you mean "schedules"?'),
        ("signal: {}", 'unknown key; did you mean "signals"?'),
        ("minimum_runtime: soon", '"soon" must be a duration'),
        ("weight: 0", "pools[0].weight: the number 0 must be more than 0 and at most 1000000"),
        ("weight: 1/3", '"1/3" must be a number, such as 3 or 0.25'),
        (
            "replicas: {min: 2, max: 3, idle: 2}",
            "replicas.idle: the number 2 must be less than min",
        ),
        ("replicas: {min: 0, max: 3, idle: 1}", "must be less than min (1)"),
        ("model: gpt", 'pools[0].model: no model is called "gpt"; add it to models'),
        ("nodes: [spot]", 'nodes[0]: no node class is called "spot"; add it to capacity.node_c'),
        ("nodes: []", "pools[0].nodes: must not be empty"),
        (f"schedules: [{', '.join(['1'] * 101)}]", "schedules: must have at most 100 items"),
        ("profile: large", 'must be "lightweight", "standard" or "compute", not "large"'),
        ("warm: {}", "pools[0].warm: give exactly one of slo and replicas"),
        ("warm: {slo: 0.9, replicas: 1}", "pools[0].warm: give exactly one of slo and replicas"),
        ("warm: {slo: 1}", "the number 1 must be at least 0 and less than 1"),
        ("warm: 2", "must be a mapping, not the number 2: write {slo: 0.99} or {replicas: 2}"),
        ("usage: {seconds: 0}", "must be more than 0"),
        ("usage: {calls: -1}", "must be at least 0"),
        ("usage: {tokens: 1}", 'usage.tokens: unknown key; did you mean "input_tokens"?'),
        ("native: {setting: fast}", '"prompt", "thrifty" or "calm", not "fast"'),
        ("native: {setting: calm, hold: 0}", "give either a setting or the numbers, not both"),
        ("native: {hold: 4m}", "start_wait_cost and keep_wait_cost need each other"),
        (
            "native: {start_wait_cost: 90, keep_wait_cost: 60}",
            "native.keep_wait_cost: the number 60 must be at least start_wait_cost (90)",
        ),
        ("a\u202eb: 1", 'pools[0]."a�b": unknown key'),
        ("behavior: {scaleup: {}}", 'scaleup: unknown key; did you mean "scaleUp"?'),
        ("behavior: {scaleUp: {stabilizationWindowSeconds: 3601}}", "must be at most 3600"),
        ("behavior: {scaleUp: {selectPolicy: max}}", '"Max", "Min" or "Disabled", not "max"'),
        ("behavior: {scaleUp: {policies: []}}", "must not be empty: name at least one"),
        (
            "behavior: {scaleUp: {policies: [{type: Pods, periodSeconds: 1}]}}",
            "policies[0].value: is required.",
        ),
        (
            "behavior: {scaleUp: {policies: [{type: Pods, value: 0, periodSeconds: 1}]}}",
            "must be more than 0, not the number 0",
        ),
        (
            "behavior: {scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 1801}]}}",
            "periodSeconds: must be at most 1800, not the number 1801",
        ),
    ],
)
def test_a_pools_keys(complaints: Complain, keys: str, complaint: str) -> None:
    (line,) = complaints(with_pools(changed(keys)))
    assert line.startswith("fleet.yaml:5:")
    assert complaint in line


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
    ("servers", "complaint"),
    [
        ("[http://h]", "nats.servers[0]: must start with nats://, tls://, ws:// or wss://"),
        ("[h:4222]", "must start with nats://"),
        ("['nats://']", "must name a host"),
        ("['nats://h:x']", "is not an address"),
        ("['nats://h:0']", "must name a host, and a port"),
        ("['nats://[::1']", "is not an address"),
        ("['nats://a b']", "must name a host"),
        ("['nats://h/path']", "must end after the port"),
        ("['ws://h?jwt=x']", "must end after the port"),
        ("[nats://h, ws://h]", "nats.servers: mixes WebSocket and other addresses"),
        ("[]", "nats.servers: must not be empty"),
        ("nats://h", "nats.servers: must be a list, not text; write [...]"),
        ("['nats://me:hunter2@h']", "take them out and name them in nats.credentials"),
    ],
)
def test_server_addresses(complaints: Complain, servers: str, complaint: str) -> None:
    (line,) = complaints(f"version: 1\nnats: {{servers: {servers}}}")
    assert complaint in line


@pytest.mark.parametrize("bucket", ["", "a.b", "a b", "a>", "a/b", "ä", "a" * 65])
def test_a_buckets_name_follows_the_rules_of_nats(complaints: Complain, bucket: str) -> None:
    (line,) = complaints(f'version: 1\nnats: {{servers: [nats://h], bucket: "{bucket}"}}')
    assert "nats.bucket: " in line
    assert "must be letters, digits, - and _ only" in line


@pytest.mark.parametrize(
    ("credentials", "complaint"),
    [
        ("{file: a, token: {env: A}}", "give one way to log in, not file and token"),
        ("{user: a}", "user and password need each other"),
        ("{password: {env: A}}", "user and password need each other"),
        ("{token: {env: A, file: b}}", "token: give exactly one of file and env"),
        ("{token: {}}", "token: give exactly one of file and env"),
        ("{token: {hunter2}}", "credentials.token: must be {file: /path/to/it} or {env: VARIABLE}"),
        ("{token: hunter2}", "token: must be a mapping, not text: write {file: /path/to/it} or"),
        ("{token: 777}", "token: must be a mapping, not a number: write {file: /path/to/it} or"),
        ("hunter2", "nats.credentials: must be a mapping, not text: write {file:"),
        ("{token: !hunter2 {env: A}}", "a YAML tag (!…) is not read here"),
        ("{token: *hunter2}", "this alias (*…) has no anchor (&…) before it"),
        ("{tokn: {env: A}}", 'unknown key; did you mean "token"?'),
    ],
)
def test_a_message_about_a_secret_does_not_repeat_the_secret(
    complaints: Complain, credentials: str, complaint: str
) -> None:
    (line,) = complaints(f"version: 1\nnats: {{servers: [nats://h], credentials: {credentials}}}")
    assert complaint in line
    assert "hunter2" not in line
    assert "777" not in line


def test_certificates_come_in_pairs(complaints: Complain) -> None:
    (line,) = complaints("version: 1\nnats: {servers: [tls://h], tls: {cert: a}}")
    assert "nats.tls: cert and key need each other" in line


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "America", "", "a\\0b"])
def test_a_time_zone_must_be_known(complaints: Complain, zone: str) -> None:
    (line,) = complaints(HEAD.replace("growth", f'growth, timezone: "{zone}"'))
    assert line.startswith("fleet.yaml:3:42: tenants.acme.timezone: ")
    assert "is not a time zone that this machine knows" in line


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


def test_each_of_thousands_of_unknown_names_gets_a_message(
    fleet: dict[str, Any], dump: Dump
) -> None:
    fleet["tenants"] = {f"tenant-{number:04}-x": {"tier": "growth"} for number in range(1000)}
    fleet["pools"] = [fleet["pools"][0] | {"tenant": f"tenent-{n:04}"} for n in range(1000)]
    with pytest.raises(FleetFileError) as caught:
        parse(dump(fleet), "fleet.yaml")
    unknown = [error for error in caught.value.errors if error.path.endswith(".tenant")]
    assert len(unknown) == 1000
    assert "did you mean" in unknown[0].message
    assert "; there are: tenant-0000-x, " in unknown[-1].message  # not compared with each
    assert unknown[-1].message.endswith(" and 990 more")


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
