"""`agentdash whatif`: the past planned again under a changed fleet file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agentdash.cli import main
from controller.exit_codes import ExitCode
from controller.model.ids import pool_key
from controller.model.observation import Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Fresh
from controller.model.scarcity import TaskUsage
from controller.model.snapshot import PoolView, Snapshot
from support.past import write_journal
from tui import scenarios

FLEET = """\
version: 1
nats: {servers: [nats://127.0.0.1:4222]}
tenants: {acme: {tier: growth}}
capacity: {replicas: 12}
pools:
  - name: writer
    tenant: acme
    queue: {stream: T, consumer: w}
    rule: hpa
    replicas:
      min: 1
      max: 4
    behavior: &fast {scaleDown: {stabilizationWindowSeconds: 0}}
  - name: coder
    tenant: acme
    queue: {stream: T, consumer: c}
    rule: hpa
    replicas: {min: 1, max: 9}
"""
BEGIN = 1_795_500_000.0
WRITER, CODER = pool_key("acme", "writer"), pool_key("acme", "coder")


def view(name: str, at: float, *, replicas: int, pending: int, delivered: int) -> PoolView:
    queue = QueueDepth(pending=pending, in_flight=0, delivered=delivered)
    return PoolView(
        key=pool_key("acme", name),
        tenant="acme",
        tier="growth",
        namespace="acme",
        stream="T",
        consumer=name[0],
        slots=1,
        target_per_replica=1,
        min=1,
        max=9,
        observation=PoolObservation(
            queue=Fresh(value=queue, at=at),
            workload=Fresh(value=Workload(replicas=replicas, current=replicas), at=at),
            pods=Fresh(value=Pods(ready=replicas), at=at),
            task_usage=TaskUsage(seconds=Decimal(30)),
        ),
    )


def hour() -> Iterator[Snapshot]:
    """20 minutes in which 8 messages of the writer wait, and 6 of the coder; the writer's workers
    take ten in a minute.
    """
    for number in range(41):
        at = BEGIN + 30 * number
        pools = (
            view("writer", at, replicas=4, pending=8, delivered=5 * number),
            view("coder", at, replicas=6, pending=6, delivered=0),
        )
        yield replace(scenarios.empty_fleet(), sequence=number, at=at, pools=pools)


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    write_journal(tmp_path / "journal.jsonl", hour())
    return [str(tmp_path / "journal.jsonl"), "-f", str(tmp_path / "fleet.yaml")]


def asked(capsys: pytest.CaptureFixture[str], given: list[str], *changes: str) -> Any:
    more = [word for change in changes for word in ("--set", change)]
    assert main(["whatif", *given, *more, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_change_shows_each_decision_that_differs_and_what_it_does_to_waits(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(capsys, given, "pools.acme/writer.replicas.max=6")
    writer, coder = found["pools"][WRITER], found["pools"][CODER]
    assert writer["differs_s"] == writer["seen_s"] == pytest.approx(1200)
    assert writer["hours_before"] == pytest.approx(4 * 1200 / 3600)
    assert writer["hours_after"] == pytest.approx(6 * 1200 / 3600)
    [first, *_] = writer["differences"]
    assert (first["before"], first["bound_before"]) == (4, "max")
    assert (first["after"], first["bound_after"]) == (6, "max")
    # 200 tasks of 30 s in 20 minutes keep five replicas busy: four fall behind, six do not
    assert writer["after"]["tasks"] == writer["before"]["tasks"] == 200
    assert writer["before"]["wait_p95_s"] > 100 > writer["after"]["wait_p95_s"]
    # the settings of the coder are as they were, and there is room for both
    assert coder["differs_s"] == 0
    assert coder["before"] is None


def test_a_pool_that_loses_by_it_is_named(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    change = ["--set", "pools.acme/writer.replicas.max=8", "--set", "pools.acme/writer.weight=3"]
    assert main(["whatif", *given, *change, "--all"]) == 0
    told = capsys.readouterr().out
    # twelve replicas in all: eight and six are more than that
    assert "acme/coder would lose" in told
    assert "acme/coder: 6 (demand) → " in told
    assert "(capacity)" in told


def test_the_line_of_the_file_to_change_is_printed(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(capsys, given, "pools.acme/writer.replicas.max=6", "tenants.acme.weight=2")
    first, second = found["to_change"]
    assert "fleet.yaml:12 " in first
    assert "in line 12 write max: 6" in first
    assert "below line 3 write weight: 2" in second


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("pools.acme/nosuch.replicas.max=6", 'there is no pool "acme/nosuch"'),
        ("pools.acme/writer.replicas.mx=6", 'unknown key; did you mean "max"?'),
        ("pools.acme/writer.replicas.max=many", "must be"),
        ("pools.acme/writer.replicas.max", "write PATH=VALUE"),
        ("pools.acme/writer.replicas.max={", "is not YAML"),
        ("version.more.of=1", 'has no "more"'),
        ("pools.writer=1", "is no key of a section"),
    ],
)
def test_what_cannot_be_changed_is_refused(
    given: list[str], capsys: pytest.CaptureFixture[str], change: str, words: str
) -> None:
    assert main(["whatif", *given, "--set", change]) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err
