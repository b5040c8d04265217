"""Names in a file of observations that the fleet does not have are refused, with the nearest."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agentdash.cli import main
from agentdash.verbs.ticks import MAX_NAMES_TOLD
from controller.exit_codes import ExitCode
from unit.verbs.worlds import NOW, fresh, pool, tick

FLEET = """\
version: 1
nats: {servers: ['nats://127.0.0.1:9']}
prometheus: {url: 'http://127.0.0.1:9'}
tenants: {acme: {tier: growth}, globex: {tier: starter}}
capacity: {node_classes: {spot: {}, on-demand: {}}}
pools:
  - {name: research, tenant: acme, queue: {stream: T, consumer: a}, replicas: {max: 4}}
  - name: browser
    tenant: globex
    queue: {stream: T, consumer: b}
    replicas: {min: 1, max: 4}
    rule: hpa
    signals: {backlog: {prometheus: up}}
    metrics:
      - {type: External, external: {metric: {name: queue}, target: {type: Value, value: 5}}}
      - {type: Resource,
         resource: {name: cpu, target: {type: Utilization, averageUtilization: 75}}}
      - type: Object
        object:
          describedObject: {kind: Service, name: web}
          metric: {name: hits, selector: {matchLabels: {verb: GET}}}
          target: {type: Value, value: 5}
    modifiers: {formula: queue + backlog, target: 5}
"""
SEEN = {"acme/research": pool(NOW, 1)}


Ask = Callable[..., Any]


def run(
    capsys: pytest.CaptureFixture[str], folder: Path, *lines: dict[str, Any], verb: str = "plan"
) -> tuple[int, str, list[str]]:
    fleet, ticks = folder / "fleet.yaml", folder / "ticks.jsonl"
    fleet.write_text(FLEET, "utf-8")
    ticks.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    names = ["acme/research"] if verb == "why" else []
    code = main([verb, "-f", str(fleet), *names, "--observations", str(ticks), "--json"])
    said = capsys.readouterr()
    return code, said.out, [line.removeprefix(f"{ticks}:") for line in said.err.splitlines()]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    return partial(run, capsys, tmp_path)


@pytest.mark.parametrize("verb", ["plan", "why"])
def test_every_unknown_name_is_refused_with_the_nearest(ask: Ask, verb: str) -> None:
    series = fresh(NOW, type="series", values_milli=[1])
    observation = {
        "pools": {
            **SEEN,
            "acme/browser": {},
            "globex/browser": {
                "metrics": {"backlg": series, "cpu": {"type": "absent", "why": "refused"}}
            },
        },
        "tenants": {"acmee": {}},
        "capacity": fresh(NOW, classes={"spott": {}, "spot": {}}),
        "under_way": {"globex/brwser": 1},
    }
    intents = {
        "pins": [{"pool": "acme/reserch", "replicas": 1}],
        "pauses": [{"scope": {"tenant": "globx"}}, {"scope": {}}],
        "freezes": [{"scope": {"pool": "acme/researh"}}, {"scope": {"tenant": "acme"}}],
        "caps": [{"pool": "acme/reseach", "replicas": 1}],
        "no_growths": [{"scope": {"tenant": "globx1"}}, {"scope": {}}],
        "budgets": [{"tenant": "globexx", "tokens": 1}],
    }
    line = tick(observation=observation, intents=intents)
    code, out, err = ask(line, verb=verb)
    assert (code, out) == (ExitCode.USAGE, "")
    said = {path: words for path, _, words in (each.partition(": the ") for each in sorted(err))}
    metric = (
        '1: observation.pools["globex/browser"].metrics.backlg: no metric or signal of '
        "globex/browser is called backlg; nearest: backlog"
    )
    pools = "fleet has no pool"
    assert said == {
        metric: "",
        '1: observation.pools["acme/browser"]': (
            f"{pools} acme/browser; nearest: globex/browser, acme/research"
        ),
        "1: observation.tenants.acmee": "fleet has no tenant acmee; nearest: acme",
        "1: observation.capacity.value.classes.spott": (
            "fleet has no node class spott; nearest: spot"
        ),
        '1: observation.under_way["globex/brwser"]': (
            f"{pools} globex/brwser; nearest: globex/browser"
        ),
        "1: intents.asked[0].scope.pool": f"{pools} acme/reserch; nearest: acme/research",
        "1: intents.asked[1].scope.tenant": "fleet has no tenant globx; nearest: globex",
        "1: intents.asked[3].scope.pool": f"{pools} acme/researh; nearest: acme/research",
        "1: intents.asked[5].scope.pool": f"{pools} acme/reseach; nearest: acme/research",
        "1: intents.asked[6].scope.tenant": "fleet has no tenant globx1; nearest: globex",
        "1: intents.asked[8].scope.tenant": "fleet has no tenant globexx; nearest: globex",
    }


@pytest.mark.parametrize("name", ["queue", "backlog", "cpu", "Service/web/hits{verb=GET}"])
def test_every_name_that_a_pool_reads_is_known(ask: Ask, name: str) -> None:
    metrics = {name: {"type": "absent", "why": "timed_out"}}
    code, _, err = ask(tick(pools={**SEEN, "globex/browser": {"metrics": metrics}}))
    assert (code, err) == (ExitCode.OK, [])


def test_a_metric_of_another_pool_is_unknown(ask: Ask) -> None:
    metrics = {"backlog": {"type": "absent", "why": "timed_out"}}
    line = tick(pools={"acme/research": {"metrics": metrics}})
    code, _, [only] = ask(line)
    assert code == ExitCode.USAGE
    assert only.endswith("no metric or signal of acme/research is called backlog; it has queue")


def test_a_name_is_reported_on_the_first_line_that_has_it(ask: Ask) -> None:
    lines = [
        tick(0, pools=SEEN),
        *(tick(each, pools={"acme/gone": {}}) for each in range(1, 300)),
        tick(300, pools={"acme/gone": {}, "acme/lost": {}}),
    ]
    code, _, err = ask(*lines)
    assert code == ExitCode.USAGE
    assert [line.partition(";")[0] for line in err] == [
        '2: observation.pools["acme/gone"]: the fleet has no pool acme/gone',
        '301: observation.pools["acme/lost"]: the fleet has no pool acme/lost',
    ]


def test_of_very_many_names_the_first_are_reported_and_the_rest_counted(ask: Ask) -> None:
    pools = {f"acme/pool-{number}": {} for number in range(MAX_NAMES_TOLD + 7)}
    code, _, err = ask(tick(pools=pools))
    assert (code, len(err)) == (ExitCode.USAGE, MAX_NAMES_TOLD + 1)
    assert err[-1].endswith("and 7 more names that the fleet does not have")


def test_a_hostile_name_is_harmless_in_the_message(ask: Ask) -> None:
    _, _, [only] = ask(tick(pools={"acme/\x1b]0;x\x07": {}}))
    assert only.isprintable()
