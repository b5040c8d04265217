"""What `agentdash manifests --alerts` prints, in the real rule engine of Prometheus."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from agentdash.cli import main
from controller.manifests.monitoring import ALERTS, prometheus_rule, rule_file
from controller.manifests.objects import Installation
from controller.model.decision import Code
from support.manifests import plain

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="there is no promtool (apt-get install prometheus)"
)
A, B = '{namespace="ops",job="agentdash",pod="a"', '{namespace="ops",job="agentdash",pod="b"'
POOL = ',tenant="acme",pool="research"'
DAY = f'{A},tenant="acme"}}'
MODEL = f'{A},tenant="",model="gpt"}}'
DEAD = '{namespace="acme",job="workers",tenant="acme",role="research",status="dead"}'
LONG = "x90"
"""90 steps of a minute."""
HEALTHY = {
    f"agentdash_ticks_total{A}}}": f"0+30{LONG}",
    f"agentdash_ticks_total{B}}}": f"0+30{LONG}",
    f"agentdash_leader{A}}}": f"1+0{LONG}",
    f"agentdash_leader{B}}}": f"0+0{LONG}",
    f'agentdash_source_up{A},source="nats"}}': f"1+0{LONG}",
    f'agentdash_source_up{B},source="nats"}}': f"1+0{LONG}",
    f"agentdash_queue_reading_blind{A}{POOL}}}": f"0+0{LONG}",
    f"agentdash_failed_writes_total{A}}}": f"3+0{LONG}",
    f"agentdash_late_ticks_total{A}}}": f"40+0{LONG}",
    f"agentdash_fleet_file_valid{A}}}": f"1+0{LONG}",
    f"agentdash_frozen{A}}}": f"0+0{LONG}",
    f"agentdash_pool_next_replicas{A}{POOL}}}": f"4+0{LONG}",
    f"agentdash_pool_ready_replicas{A}{POOL}}}": f"4+0{LONG}",
    f'agentdash_finding{A},subject="x",kind="other"}}': f"1+0{LONG}",
    f"agentdash_day_tokens_budget{DAY}": f"1440000+0{LONG}",  # 1,000 a minute
    f"agentdash_day_tokens_total{DAY}": f"0+1900{LONG}",
    f"agentdash_model_calls_per_minute{MODEL}": f"100+0{LONG}",
    f"agentdash_model_refused_per_minute{MODEL}": f"2+0{LONG}",
    f"agentdash_queue_oldest_seconds{A}{POOL}}}": f"900+0{LONG}",
    f"agent_tasks_total{DEAD}": f"2+0{LONG}",
}
FAULTS: dict[str, dict[str, str]] = {
    "AgentdashAbsent": {
        f"agentdash_ticks_total{A}}}": "0+0x3 stale",
        f"agentdash_ticks_total{B}}}": "0+0x3 stale",
    },
    "AgentdashStopped": {
        f"agentdash_ticks_total{A}}}": f"7+0{LONG}",
        f"agentdash_ticks_total{B}}}": f"9+0{LONG}",
    },
    "AgentdashNoLeader": {f"agentdash_leader{A}}}": f"0+0{LONG}"},
    "AgentdashTwoLeaders": {f"agentdash_leader{B}}}": f"1+0{LONG}"},
    "AgentdashSourceDown": {f'agentdash_source_up{A},source="nats"}}': f"0+0{LONG}"},
    "AgentdashQueueBlind": {f"agentdash_queue_reading_blind{A}{POOL}}}": f"1+0{LONG}"},
    "AgentdashWritesFail": {f"agentdash_failed_writes_total{A}}}": f"3+1{LONG}"},
    "AgentdashFleetFileInvalid": {f"agentdash_fleet_file_valid{A}}}": f"0+0{LONG}"},
    "AgentdashFrozen": {f"agentdash_frozen{A}}}": f"1+0{LONG}"},
    "AgentdashLateTicks": {f"agentdash_late_ticks_total{A}}}": f"40+2{LONG}"},
    "AgentdashNotReady": {f"agentdash_pool_ready_replicas{A}{POOL}}}": f"3+0{LONG}"},
    "AgentdashContested": {
        f'agentdash_finding{A},subject="x",kind="{Code.SET_BACK}"}}': f"1+0{LONG}",
        f'agentdash_finding{A},subject="y",kind="{Code.CONTESTED}"}}': f"1+0{LONG}",
    },
    "AgentdashMessagesWait": {f'agentdash_finding{A},subject="x",kind="waits"}}': f"1+0{LONG}"},
    "AgentdashBudgetBurnsFast": {f"agentdash_day_tokens_total{DAY}": f"0+6100{LONG}"},
    # a quarter of an hour that was much too fast, and since then four times the day's pace
    "AgentdashBudgetBurns": {f"agentdash_day_tokens_total{DAY}": "0+60000x15 904000+4000x75"},
    "AgentdashCallsRefused": {f"agentdash_model_refused_per_minute{MODEL}": f"3+0{LONG}"},
    "AgentdashOldestWaits": {f"agentdash_queue_oldest_seconds{A}{POOL}}}": f"901+0{LONG}"},
    "AgentdashDeadLetters": {f"agent_tasks_total{DEAD}": f"2+1{LONG}"},
}


def promtool(*words: str | Path) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "agentdash.yaml"
    path.write_text(rule_file(), "utf-8")
    return path


def test_the_alerts_are_printed_without_a_fleet_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifests", "--alerts"]) == 0
    [group] = yaml.safe_load(capsys.readouterr().out)["groups"]
    assert [each["alert"] for each in group["rules"]] == [each.name for each in ALERTS]


def test_the_operator_gets_the_same_rules() -> None:
    made = plain(prometheus_rule(Installation(image="x", namespace="ops")).body)
    assert made["metadata"]["namespace"] == "ops"
    assert made["spec"] == yaml.safe_load(rule_file())


@needs_promtool
def test_prometheus_takes_the_rules(rules: Path) -> None:
    promtool("check", "rules", "--lint-fatal", rules)


def story(alert: str | None) -> dict[str, object]:
    """A case of promtool: 75 minutes of a healthy fleet with the fault of one alert."""
    series = {**HEALTHY, **FAULTS.get(alert or "", {})}
    results = 2 if alert == "AgentdashContested" else 1
    fired = [{"labels": f'{{alertname="{alert}"}}', "value": results}] if alert else []
    expr = 'count by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "name": alert or "a healthy fleet",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": "75m", "exp_samples": fired}],
    }


@needs_promtool
def test_each_fault_fires_its_alert_and_no_other(rules: Path) -> None:
    stories = [story(alert) for alert in (None, *(each.name for each in ALERTS))]
    case = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": stories}
    path = rules.with_name("case.yaml")
    path.write_text(json.dumps(case), "utf-8")
    promtool("test", "rules", path)
