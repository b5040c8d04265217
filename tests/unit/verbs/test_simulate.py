"""`agentdash simulate`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agentdash.cli import main

FLEET = """\
version: 1
nats: {servers: [nats://127.0.0.1:4222]}
prometheus: {url: "http://127.0.0.1:9"}
tenants: {acme: {tier: growth}}
pools:
  - {name: writer, tenant: acme, queue: {stream: T, consumer: w}, replicas: {max: 9}}
  - name: coder
    tenant: acme
    queue: {stream: T, consumer: c}
    replicas: {max: 9}
    signals: {backlog: {prometheus: sum(backlog)}}
    metrics:
      - {type: External, external: {metric: {name: backlog}, target: {type: Value, value: "3"}}}
"""
HEAD = "arrival_s,service_s,pool\n"


@pytest.fixture
def day(tmp_path: Path) -> list[str]:
    """A fleet file and an hour of a task every 20 s: the arguments that name them."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    lines = (f"{20 * number},10,writer\n" for number in range(180))
    (tmp_path / "day.csv").write_text(HEAD + "".join(lines))
    return [str(tmp_path / "day.csv"), "-f", str(tmp_path / "fleet.yaml")]


def test_every_policy_is_scored_beside_the_bound(
    day: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *day, "--json", "--usd-per-hour", "2"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    policies = ["clairvoyant", "agentdash", "hpa+keda", "hpa+keda, tuned", "reactive", "static"]
    assert [row["policy"] for row in rows] == 2 * policies
    assert [row["pool"] for row in rows] == 6 * ["all pools"] + 6 * ["writer"]
    by = {row["policy"]: row for row in rows[6:]}
    # one replica, kept over gaps of 10 s: started once, and there to the end of the last task
    assert by["clairvoyant"]["replica_hours"] == pytest.approx((19 + 179 * 20 + 10) / 3600)
    # asked for at 0, ready at 19: the first waits for that, the second for 9 s, no other
    assert by["static"]["wait_p99_s"] == 9.0
    assert by["static"]["replica_hours"] == pytest.approx(3590 / 3600)
    assert main(["simulate", *day, "--json", "--warm", "--ready", "19s/40s"]) == 0
    warm = json.loads(capsys.readouterr().out)["rows"][11]
    assert (warm["policy"], warm["wait_p99_s"], warm["actions"]) == ("static", 0.0, 0)
    for row in rows:
        assert row["tasks"] == 180
        assert row["unserved"] == 0
        assert row["usd"] == pytest.approx(2 * row["replica_hours"])
        bound = by["clairvoyant"]["replica_hours"]
        assert row["times_clairvoyant"] == pytest.approx(row["replica_hours"] / bound)


def test_standbys_of_the_fleet_file_are_a_policy_of_their_own(
    day: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Path(day[2])
    standby = "standby: [{name: spare, tenant: acme, pools: [writer], most: 3}]\n"
    fleet.write_text(FLEET + standby)
    assert main(["simulate", *day, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    by = {row["policy"]: row for row in rows if row["pool"] == "writer"}
    assert list(by)[1:3] == ["agentdash", "with standbys"]
    # one stands by from the start: only while a start replaces one that was taken a task waits
    assert by["with standbys"]["tasks"] == 180
    assert by["with standbys"]["within_1s"] > by["agentdash"]["within_1s"]


def test_tables_for_people_and_as_markdown(
    day: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *day, "--per-pool"]) == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^(\S.*): 180 tasks; waits in seconds$", shown, re.MULTILINE) == [
        "all pools",
        "writer",
    ]
    assert shown.count("clairvoyant") == 2
    assert "USD" not in shown  # no price was given
    assert main(["simulate", *day, "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| POLICY | P50 | P95 |")
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_a_page_with_pictures_needs_nothing_else(day: list[str], tmp_path: Path) -> None:
    trace = tmp_path / "day.csv"
    trace.write_text(trace.read_text() + "3600,1,<script>alert(1)</script>\n")
    page = tmp_path / "day.html"
    assert main(["simulate", *day, "--like", "acme/writer", "--html", str(page)]) == 0
    text = page.read_text()
    assert text.count("<svg") == 4
    assert text.count("<polyline") == 15  # waits, replicas and messages of five policies
    assert text.count("<circle") == 6
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "http" not in text


def test_settings_of_a_pool_are_searched(
    day: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *day, "--search", "writer", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    costs = [(each["replica_hours"], each["wait_mean_s"]) for each in found["frontier"]]
    assert found["tried"] > len(costs) > 0
    assert costs == sorted(costs)
    assert sorted((wait for _, wait in costs), reverse=True) == [wait for _, wait in costs]
    assert found["frontier"][0]["settings"].startswith("native: {setting: ")


@pytest.mark.parametrize(
    ("trace", "more", "words"),
    [
        ("arrival_s,service_s\n1,1\n", [], "no column pool or role or tenant; it has arrival_s"),
        (HEAD, [], "no task in it"),
        (HEAD + "1,1,writer\n", ["--by", "agent"], "no column agent"),
        (HEAD + "1,1,painter\n", [], "--like POOL, of acme/writer, acme/coder"),
        (HEAD + "1,1,coder\n", [], "acme/coder is sized by the metric backlog too"),
        (HEAD + "1,1,writer\n", ["--search", "painter"], "the trace has no pool painter"),
        (HEAD + "1,1,writer\n", ["--ready", "40s/19s"], "nine of ten take longer"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    trace: str, more: list[str], words: str, day: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(day[0]).write_text(trace)
    try:
        code = main(["simulate", *day, *more])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert words in " ".join(capsys.readouterr().err.split())
