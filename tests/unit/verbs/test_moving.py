"""`agentdash import`: what becomes of other autoscalers, and what has no counterpart."""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from agentdash.cli import main
from conformance.statement import NOW, observed_for_long, seen
from controller.config import load, parse
from controller.config.autoscalers import Imported, autoscalers
from controller.config.moved import fleet_text, one_a_target
from controller.exit_codes import ExitCode
from controller.model.fleet import Pool
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, Series
from controller.model.readings import Absent, Fresh, Why
from support.planning import plan

HPA = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 9
  metrics:
    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
    - type: External
      external:
        metric: {name: orders|waiting, selector: {matchLabels: {shop: a}}}
        target: {type: AverageValue, averageValue: "5"}
    - type: Resource
      resource: {name: hugepages-2Mi, target: {type: Utilization, averageUtilization: 60}}
  behavior: {scaleDown: {stabilizationWindowSeconds: 60, policies: []}}
"""
KEDA = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: NAME, namespace: shop}
spec:
  scaleTargetRef: {name: NAME}
  pollingInterval: 5
  triggers:
    - TRIGGER
"""
NATS = "{type: nats-jetstream, metadata: {account: A, stream: S, consumer: c, lagThreshold: '7'}}"
CRON = (
    "{type: cron, metadata: {timezone: Europe/Berlin, start: 0 8 * * 1-5, end: 0 18 * * 1-5, "
    "desiredReplicas: '4'}}"
)


def keda(trigger: str, name: str = "worker") -> str:
    return KEDA.replace("NAME", name).replace("TRIGGER", trigger)


def moved(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> tuple[Pool, str]:
    """The only pool of the fleet file that is made of a text, and the file."""
    (tmp_path / "given.yaml").write_text(text)
    assert main(["import", str(tmp_path / "given.yaml")]) == 0
    made = capsys.readouterr().out
    (tmp_path / "fleet.yaml").write_text(made)
    [pool] = load(tmp_path / "fleet.yaml").fleet.pools
    return pool, made


def test_an_hpa_becomes_a_pool_and_names_what_it_cannot_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, made = moved(tmp_path, capsys, HPA)
    assert (pool.key, pool.min, pool.max, pool.rule) == ("shop/web", 2, 9, "hpa")
    assert [type(each).__name__ for each in pool.metrics] == ["ResourceMetric", "ExternalMetric"]
    [signal] = pool.signals
    assert (signal.source.name, signal.source.selector) == ("orders|waiting", "shop=a")
    assert pool.behavior.scale_down.stabilization_window_s == 60
    assert pool.behavior.scale_down.policies  # an empty list is none: the HPA's own defaults
    lost = [line for line in made.splitlines() if line.startswith("  #   (lost)")]
    assert len(lost) == 1
    assert "given.yaml:14 spec.metrics[2]" in lost[0]
    assert "HorizontalPodAutoscaler shop/web: in part" in made


def test_version_1_and_an_hpa_without_metrics_go_by_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = re.sub(r"  metrics:\n(    .*\n)+", "", HPA).replace("autoscaling/v2", "autoscaling/v1")
    pool, _ = moved(tmp_path, capsys, old)
    assert [metric.target.percent for metric in pool.metrics] == [80]
    pool, _ = moved(tmp_path, capsys, old + "  targetCPUUtilizationPercentage: 55\n")
    assert [metric.target.percent for metric in pool.metrics] == [55]


def test_a_jetstream_trigger_is_the_queue_of_its_pool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = NATS.replace("lagThreshold: '7'", "lagThreshold: '7', activationLagThreshold: '2'")
    pool, made = moved(tmp_path, capsys, keda(given))
    assert (pool.stream, pool.consumer, pool.activation) == ("S", "c", 2)
    assert [(each.name, each.target.milli) for each in pool.metrics] == [("queue", 7000)]
    # KEDA's defaults, where they are not ours
    assert (pool.min, pool.max, pool.cooldown_s) == (0, 100, 300)
    assert "ScaledObject shop/worker: wholly" in made
    assert "given.yaml:6 spec.pollingInterval" in made


def test_a_trigger_that_only_keda_can_read_is_read_through_keda(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kafka = "{type: kafka, metadata: {topic: t, lagThreshold: '50', activationLagThreshold: '3'}}"
    text = keda(kafka)
    pool, made = moved(tmp_path, capsys, text)
    [signal] = pool.signals
    assert (signal.source.name, signal.source.selector) == (
        "s0-kafka",
        "scaledobject.keda.sh/name=worker",
    )
    assert "check the series" in made
    assert pool.modifiers is not None
    assert (pool.modifiers.target_milli, pool.modifiers.activation_milli) == (50_000, 3000)
    # a cluster says how the series is called
    named = text + "status: {externalMetricNames: [s0-kafka-t]}\n"
    pool, made = moved(tmp_path, capsys, named)
    assert pool.signals[0].source.name == "s0-kafka-t"
    assert "check the series" not in made


def test_prometheus_is_asked_by_agentdash_and_an_hour_of_the_day_is_a_schedule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "{type: prometheus, metadata: {serverAddress: 'http://p:9', query: q, threshold: '.5'}}"
    pool, made = moved(tmp_path, capsys, keda(f"{query}\n    - {CRON}"))
    assert pool.signals[0].source.query == "q"
    assert yaml.safe_load(made)["prometheus"] == {"url": "http://p:9"}
    assert yaml.safe_load(made)["tenants"]["shop"]["timezone"] == "Europe/Berlin"
    [window] = pool.schedules
    assert (window.window.for_s, window.min) == (36_000, 4)
    assert "or vector(0)" in made


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ("{type: external, metadata: {scalerAddress: 'a:1'}}", "the target of a trigger external"),
        (CRON.replace("18 * * 1-5", "18 1 * *"), "the window is not always of one length"),
        (CRON.replace("'4'", "many"), "the window is not always of one length"),
        ("{type: cpu, metadata: {value: half}}", "left out: metrics[1].resource.target"),
        ("{type: kafka, metadata: {lagThreshold: '${LAG}'}}", "left out: metrics[1].external"),
    ],
)
def test_a_trigger_without_counterpart_is_named_beside_its_pool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], trigger: str, words: str
) -> None:
    pool, made = moved(tmp_path, capsys, keda(f"{NATS}\n    - {trigger}"))
    assert [each.name for each in pool.metrics] == ["queue"]
    lost = [line for line in made.splitlines() if "(lost)" in line and "given.yaml:9" in line]
    assert any(words in line for line in lost), made


def test_what_cannot_be_a_pool_is_named_and_the_others_are_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = HPA.replace("kind: Deployment, name: web", "kind: Rollout, name: web")
    several = "\n---\n".join(
        (
            keda(NATS),
            rollout,
            "kind: Service\nmetadata: {name: web}",
            "apiVersion: {{ .Values.version }}\nkind: [",
            keda("{type: cpu, metadata: {value: '60'}}").replace("name: worker,", "name: other,"),
            "kind: ScaledJob\nmetadata: {name: nightly}",
        )
    )
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(several.encode())))
    assert main(["import", "-"]) == ExitCode.USAGE
    told = capsys.readouterr()
    (tmp_path / "fleet.yaml").write_text(told.out)
    assert [pool.key for pool in load(tmp_path / "fleet.yaml").fleet.pools] == ["shop/worker"]
    assert "it scales a Rollout; agentdash scales Deployments and StatefulSets" in told.out
    # the rival of a workload, by its name
    assert "ScaledObject shop/worker scales deployment/worker too" in told.out
    assert "standard input:33 this document" in told.out
    assert "helm template" in told.out
    assert "ScaledJob nightly starts jobs" in told.out
    assert "1 wholly, 0 in part, 2 not; 2 documents could not be read" in told.err


def test_a_list_and_two_workloads_of_one_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stateful = HPA.replace("Deployment", "StatefulSet").replace("name: web, name", "name: b, name")
    items: list[Any] = [yaml.safe_load(HPA), yaml.safe_load(stateful)]
    whole = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items})
    (tmp_path / "list.yaml").write_text(whole)
    assert main(["import", str(tmp_path / "list.yaml")]) == 0
    (tmp_path / "fleet.yaml").write_text(capsys.readouterr().out)
    pools = load(tmp_path / "fleet.yaml").fleet.pools
    assert [(pool.key, pool.workload.kind.value, pool.workload.name) for pool in pools] == [
        ("shop/web", "Deployment", "web"),
        ("shop/web-2", "StatefulSet", "web"),
    ]


def test_the_order_of_steps_names_the_command_that_ends_each_rival(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "both.yaml").write_text(f"{HPA}---\n{keda(NATS)}")
    assert main(["import", "--apply-order", str(tmp_path / "both.yaml")]) == 0
    steps = capsys.readouterr().out
    assert steps.index("--read-only") < steps.index("report compare") < steps.index("delete hpa")
    assert "kubectl -n shop delete hpa web" in steps
    assert "annotate scaledobject worker autoscaling.keda.sh/paused=true" in steps


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give files, - for standard input, or --cluster"),
        (["nosuch.yaml"], "nosuch.yaml: No such file or directory"),
        (["--cluster", "--kubeconfig", "nosuch"], "the cluster cannot be read"),
        (["empty.yaml"], "there is no HorizontalPodAutoscaler and no ScaledObject in it"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.yaml").write_text("kind: Service\n")
    assert main(["import", *arguments]) in {ExitCode.USAGE, ExitCode.UNREACHABLE}
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err


JUNK: list[Any] = [None, "", -1, True, [], {}, 1.5, 10**20, ["a"], {"a": 1}, "${V}", "\x1b[31m"]
EACH_KIND = (
    yaml.safe_load(HPA),
    yaml.safe_load(
        keda(
            f"{NATS}\n    - {CRON}\n    - {{type: cpu, metadata: {{value: '60'}}}}\n"
            "    - {type: prometheus, name: p, metadata: {serverAddress: 'http://p', query: q, "
            "threshold: '5', activationThreshold: '1'}}\n"
            "    - {type: redis, metadata: {listLength: '5', activationListLength: '1'}}\n"
            "  advanced: {scalingModifiers: {formula: p + 1, target: '2'}, "
            "horizontalPodAutoscalerConfig: {behavior: {scaleUp: {policies: []}}}}\n"
            "  fallback: {failureThreshold: 3, replicas: 4}\n"
            "status: {externalMetricNames: [s4-redis]}"
        )
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value within a value."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield (*path, key)
        if isinstance(value[key], dict | list):
            yield from places(value[key], (*path, key))


@pytest.mark.parametrize("junk", JUNK, ids=repr)
@pytest.mark.parametrize("whole", EACH_KIND, ids=["hpa", "keda"])
def test_whatever_stands_in_a_field_the_file_that_is_made_loads(whole: Any, junk: Any) -> None:
    for path in places(whole):
        changed = copy.deepcopy(whole)
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = junk
        found = list(autoscalers(yaml.safe_dump(changed), "given"))
        made = fleet_text(one_a_target([e for e in found if isinstance(e, Imported)]), [])
        parse(made, "made")
        assert "\x1b" not in made, path


def test_a_pool_whose_queue_does_not_exist_goes_by_its_metrics_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prometheus = (
        "{type: prometheus, metadata: {serverAddress: 'http://p', query: q, threshold: '5'}}"
    )
    text = keda(prometheus).replace("  triggers", "  minReplicaCount: 1\n  triggers")
    pool, made = moved(tmp_path, capsys, text)
    assert "queue: set this" in made
    fleet = load(tmp_path / "fleet.yaml").fleet
    for milli, wanted in ((20_000, 4), (1000, 1)):
        metrics = {"prometheus_0": Fresh(value=Series(values_milli=(milli,)), at=NOW)}
        queue = Absent(why=Why.CONSUMER_MISSING, at=NOW)
        memory = Memory(pools={pool.key: observed_for_long()}, planned_at=NOW)
        for replicas in (2, 3):
            look = Observation(pools={pool.key: seen(replicas, queue=queue, metrics=metrics)})
            decided, _ = plan(look, fleet, Intents(), memory, NOW)
            assert decided.decisions[pool.key].recommendation == wanted


@contextmanager
def served(answers: dict[str, Any], folder: Path) -> Iterator[str]:
    """A kubeconfig of an API server that answers these paths, and 404 to all others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path.partition("?")[0], (404, {"reason": "NotFound"}))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    named = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {
        "current-context": "c",
        "contexts": [named],
        "clusters": [
            {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        ],
        "users": [{"name": "u", "user": {}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    try:
        yield str(folder / "kubeconfig")
    finally:
        server.shutdown()
        server.server_close()


def test_a_cluster_is_read_without_what_keda_made_for_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = yaml.safe_load(HPA)
    made = yaml.safe_load(HPA)
    made["metadata"] = {
        "name": "keda-hpa-worker",
        "namespace": "shop",
        "ownerReferences": [{"kind": "ScaledObject", "name": "worker"}],
    }
    for each in (own, made):  # items of a list do not say what they are
        del each["kind"], each["apiVersion"]
    hpas, space = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers", ["-n", "shop"]
    objects = "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects"
    answers: dict[str, Any] = {hpas: (200, {"items": [own, made]})}
    with served(answers, tmp_path) as kubeconfig:
        given = ["import", "--cluster", "--kubeconfig", kubeconfig, *space]
        # without KEDA there are no ScaledObjects, which is no fault
        assert main(given) == 0
        assert set(yaml.safe_load(capsys.readouterr().out)["tenants"]) == {"shop"}
        answers[objects] = (200, {"items": [yaml.safe_load(keda(NATS))]})
        assert main(given) == 0
        pools = yaml.safe_load(capsys.readouterr().out)["pools"]
        assert [pool["name"] for pool in pools] == ["web", "worker"]
        answers[hpas] = (403, {"reason": "Forbidden", "message": "you may not"})
        assert main(given) == ExitCode.UNREACHABLE
        assert "the cluster cannot be read: 403" in capsys.readouterr().err
