"""`agentdash report`: what a journal says of sizes, capacity, money and other autoscalers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agentdash.cli import main
from controller.exit_codes import ExitCode
from controller.model.decision import Bound, Decision
from controller.model.ids import pool_key
from controller.model.observation import (
    ModelTokens,
    PodUsage,
    PodUsages,
    PoolObservation,
    TokensByModel,
)
from controller.model.readings import Fresh
from controller.model.scarcity import Resources, TaskUsage
from controller.model.snapshot import PoolView, QueueRates, Snapshot, TenantView
from support.past import write_journal
from tui import scenarios

KEY = pool_key("acme", "writer")
MIB = 2**20
HOUR = 120  # snapshots, one each 30 s
BEGIN = 1_795_500_000.0


def pool(at: float, *, theirs: int, ours: int, bound: Bound = Bound.DEMAND) -> PoolView:
    """A pool of two slots that asks for 1 core and 2 GiB and uses 0.2 cores and 300 MiB."""
    used = {
        name: Fresh(
            value=PodUsages(items=(PodUsage(pod="p", containers=use, at=at, window_s=30),)), at=at
        )
        for name, use in (
            ("cpu", {"agent": 150, "proxy": 50}),
            ("memory", {"agent": 300 * MIB * 1000}),
        )
    }
    return PoolView(
        key=KEY,
        tenant="acme",
        tier="growth",
        namespace="acme",
        stream="T",
        consumer="c",
        slots=2,
        target_per_replica=2,
        min=0,
        max=10,
        requests=Resources(cpu_milli=1000, memory_bytes=2048 * MIB),
        observation=PoolObservation(metrics=used, task_usage=TaskUsage(seconds=Decimal(4))),
        decision=Decision(KEY, theirs, ours, ours, ours, theirs, bound),
    )


def spent(usd: float, more: Sequence[ModelTokens] = ()) -> TenantView:
    models = (ModelTokens(model="large", input=9, usd=usd), *more)
    by_model = TokensByModel(models=models, usd_by_pool={KEY: usd})
    return TenantView(name="acme", tier="growth", namespace="acme", pools=1, by_model=by_model)


def hour(**changed: Any) -> Iterator[Snapshot]:
    """An hour in which 6 tasks a minute end and the pool has 4 replicas; in its last 10 minutes
    the recommendation is 7.
    """
    for number in range(HOUR + 1):
        at = BEGIN + 30 * number
        view = pool(at, theirs=4, ours=4 if number < HOUR - 20 else 7, bound=Bound.DEMAND)
        snapshot = replace(
            scenarios.empty_fleet(),
            sequence=number,
            at=at,
            pools=(view,),
            queues=(QueueRates(pool=KEY, completions_per_minute=6.0),),
            tenants=(spent(1.0 + number / HOUR),),
        )
        yield replace(snapshot, **changed)


def reported(capsys: pytest.CaptureFixture[str], kind: str, path: Path, *more: str) -> Any:
    assert main(["report", kind, str(path), "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    write_journal(tmp_path / "journal.jsonl", hour())
    return tmp_path / "journal.jsonl"


def test_the_smallest_profile_with_room_is_recommended(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = reported(capsys, "sizing", journal)
    [row] = found["rows"]
    assert row["pool"] == KEY
    assert (row["cpu_asked"], row["cpu_p95"]) == (1.0, 0.2)
    assert (row["mib_asked"], row["mib_most"]) == (2048, 300)
    assert row["task_s"] == 4
    assert row["tasks_per_replica_h"] == pytest.approx(6 * 60 / 4)
    # 0.25 cores are 1.15 × 0.2, 512 MiB more than 1.25 × 300: of 4 replicas that saves
    assert row["profile"] == "lightweight"
    assert row["saves_cores"] == pytest.approx(4 * 0.75)
    assert row["saves_mib"] == pytest.approx(4 * 1536)
    assert found["unknown"] == []


def test_what_is_not_measured_is_said_and_not_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = pool(BEGIN, theirs=4, ours=4)
    write_journal(tmp_path / "j", hour(pools=(replace(blind, observation=PoolObservation()),)))
    assert main(["report", "sizing", str(tmp_path / "j")]) == 0
    told = capsys.readouterr().out
    assert "lightweight" not in told
    assert "not known: acme/writer: cpu and memory is not measured" in told
    [row] = reported(capsys, "capacity", tmp_path / "j")["rows"]
    assert (row["task_s"], row["tasks_per_s"], row["tasks_per_day"]) == (None, None, None)


def test_what_a_pool_can_do_and_what_limits_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limited = pool(BEGIN, theirs=4, ours=4, bound=Bound.QUOTA)
    free = list(hour())
    shown = [replace(each, pools=(limited,)) if n < 30 else each for n, each in enumerate(free)]
    write_journal(tmp_path / "j", shown)
    [row] = reported(capsys, "capacity", tmp_path / "j")["rows"]
    assert row["tasks_per_s"] == 10 * 2 / 4
    assert row["tasks_per_day"] == pytest.approx(5 * 86_400)
    assert row["done_per_day"] == pytest.approx(6 * 60 * 24)
    assert row["mib_per_slot"] == 150
    assert (row["limited_by"], row["percent_of_time"]) == ("quota", 25)


def test_money_is_what_the_sums_of_the_day_have_grown_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = ModelTokens(model="free", input=5)
    sums = [1.0, 1.5, 2.0, 0.25, 0.5]  # a new day begins before the fourth
    snapshots = list(hour())[: len(sums)]
    shown = [
        replace(each, tenants=(spent(usd, [free]),))
        for each, usd in zip(snapshots, sums, strict=True)
    ]
    write_journal(tmp_path / "j", shown)
    found = reported(capsys, "spend", tmp_path / "j")
    by = {(row["by"], row["name"]): row["usd"] for row in found["rows"]}
    assert by == {("all", "-"): 1.5, ("model", "large"): 1.5, ("pool", KEY): 1.5}
    assert found["unknown"] == ["free: has no price, so its tokens are in no sum"]


def test_where_another_autoscaler_would_have_been_differed_from(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [row] = reported(capsys, "compare", journal)["rows"]
    assert row["hours"] == pytest.approx(1)
    assert row["percent_more"] == pytest.approx(100 / 6)
    assert row["percent_same"] == pytest.approx(500 / 6)
    assert row["their_replica_h"] == pytest.approx(4)
    assert row["ours"] == pytest.approx(4 + 3 / 6)
    assert row["longest_min"] == pytest.approx(10)
    assert row["since"] == BEGIN + 30 * (HOUR - 20)
    assert row["theirs_to_ours"] == "4 → 7"


def test_time_without_snapshots_counts_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = [replace(each, at=each.at + 7200 * (n > 60)) for n, each in enumerate(hour())]
    write_journal(tmp_path / "j", late)
    found = reported(capsys, "compare", tmp_path / "j")
    assert found["rows"][0]["hours"] == pytest.approx(1, abs=0.01)
    assert found["unknown"] == ["2.0 of 3.0 hours have no snapshots"]


def test_a_report_is_a_page_and_markdown_too(
    journal: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert main(["report", "capacity", str(journal), "--markdown", "--html", str(page)]) == 0
    told = capsys.readouterr().out
    assert "| POOL | MAX |" in told
    assert KEY in page.read_text("utf-8")


@pytest.mark.parametrize("text", ["", "no journal\n"])
def test_what_is_no_journal_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert main(["report", "spend", str(tmp_path / "nosuch")]) == ExitCode.USAGE
    assert "nosuch: no such file" in capsys.readouterr().err
    (tmp_path / "odd").write_text(text)
    assert main(["report", "spend", str(tmp_path / "odd")]) == ExitCode.USAGE
    assert "is it a journal?" in capsys.readouterr().err
