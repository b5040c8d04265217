from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentdash.cli import main
from controller.exit_codes import ExitCode
from unit.verbs.worlds import NOW, pool, tick, write

BUSY = tick(
    pools={"acme/research": pool(NOW, 2, pending=8), "acme/browser": pool(NOW, 0, pending=3)}
)


def run(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> tuple[int, str, str]:
    fleet, ticks = write(folder, BUSY)
    code = main(["why", *arguments, "-f", fleet, "--observations", ticks])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_rules_stand_in_order_with_their_numbers_and_the_counterfactual(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = run(capsys, tmp_path, "acme/research")
    assert (code, err) == (ExitCode.OK, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "acme/research at 2023-11-14T22:13:20.000Z",
        "2→4 target 4 recommended 4 wanted 8 bound by max",
        "",
        "STEP INPUT REPLICAS",
        "Work waiting 8 pending + 0 in flight, 1 task per replica (1 slot): 8 replicas 8",
        "At max at most 4 replicas (max) 4",
        "decided bound by max = 4",
        "",
        "next: 2→4 now",
        "without max: 8",
    ]


def held(since: float) -> dict[str, Any]:
    """An idle pool of three replicas, which its window holds."""
    memory = {"since": NOW - 100, "last_active_at": NOW - 50}
    runs = [
        {"replicas": 3, "first_at": NOW - 60, "last_at": since},
        {"replicas": 0, "first_at": since},
    ]
    memory["recommendations"] = runs  # type: ignore[assignment]
    return tick(pools={"acme/browser": pool(NOW, 3)}, memory={"pools": {"acme/browser": memory}})


def test_it_says_when_the_number_changes_next_and_which_rule_ends_then(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fleet, ticks = write(tmp_path, held(since=NOW - 1))
    place = ("acme/browser", "-f", fleet, "--observations", ticks)
    assert main(["why", *place]) == ExitCode.OK
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    [following] = [line for line in lines if line.startswith("next: ")]
    assert following == "next: 3 → 0 in 2s (stabilised downwards ends)"
    assert main(["why", *place, "--json"]) == ExitCode.OK
    [browser] = json.loads(capsys.readouterr().out)["pools"]
    change = browser["next_change"]
    assert (change["before"], change["after"], change["ends"]) == (3, 0, "stabilized_down")
    assert change["at"] == pytest.approx(NOW + 2, abs=0.1)


def test_where_nothing_is_foreseen_it_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fleet, ticks = write(tmp_path, tick(pools={"acme/browser": pool(NOW, 2, in_flight=2)}))
    place = ("acme/browser", "-f", fleet, "--observations", ticks)
    assert main(["why", *place]) == ExitCode.OK
    assert "next: no change foreseen while the work" in capsys.readouterr().out
    assert main(["why", *place, "--json"]) == ExitCode.OK
    [browser] = json.loads(capsys.readouterr().out)["pools"]
    assert browser["next_change"] is None


def test_several_pools_are_printed_once_each_in_the_given_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = ("acme/browser", "acme/research", "acme/browser")
    _, out, _ = run(capsys, tmp_path, *names)
    heads = [line.split()[0] for line in out.splitlines() if "  at 2023" in line]
    assert heads == ["acme/browser", "acme/research"]


def test_json_has_the_counterfactuals_of_each_pool(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, out, _ = run(capsys, tmp_path, "acme/research", "acme/browser", "--json")
    research, browser = json.loads(out)["pools"]
    assert research["without"] == [
        {"lifted": "max", "target": 8, "next": 8, "bound": "demand", "gate": None}
    ]
    assert browser["without"] == []


def test_an_unknown_pool_is_answered_with_the_nearest_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = run(capsys, tmp_path, "acme/reserch", "browser-x", "\x1b[2J")
    assert (code, out) == (ExitCode.USAGE, "")
    first, second, third = err.splitlines()
    assert first.startswith("agentdash: the fleet has no pool acme/reserch; nearest: acme/research")
    assert second == "agentdash: the fleet has no pool browser-x; nearest: acme/browser"
    assert third.endswith("[2J; it has acme/research, acme/browser")
    assert "\x1b" not in err


def test_a_pool_that_the_tick_did_not_see_is_noted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fleet, ticks = write(tmp_path, tick(pools={"acme/browser": pool(NOW, 1)}))
    main(["why", "acme/research", "-f", fleet, "--observations", ticks])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "agentdash: not seen, so not decided: acme/research\n"
