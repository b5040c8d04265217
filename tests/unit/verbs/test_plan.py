from __future__ import annotations

import io
import json
import math
import re
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentdash.cli import main
from agentdash.verb_table import VERBS
from agentdash.verbs.ticks import MAX_LINES_TOLD
from controller.exit_codes import ExitCode
from controller.model.decision import Code, Decision, Reason
from controller.report.plan import observation_schema, plan_schema, pool_report
from support.reports import decode_report
from support.table import tabled
from unit.planning.story import make_pool
from unit.verbs.worlds import NOW, fresh, pool, tick, write

BUSY = {"acme/research": pool(NOW, 2, pending=8), "acme/browser": pool(NOW, 0, pending=3)}


Ask = Callable[..., Any]


def run(
    capsys: pytest.CaptureFixture[str], folder: Path, *lines: Any, options: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    fleet, ticks = write(folder, *lines)
    code = main(["plan", "-f", fleet, "--observations", ticks, *options])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    return partial(run, capsys, tmp_path)


def test_the_table_has_a_line_for_each_pool_with_its_numbers_and_why(ask: Ask) -> None:
    code, out, err = ask(tick(pools=BUSY))
    assert (code, err) == (ExitCode.OK, "")
    summary, _, heading, research, browser = out.splitlines()
    assert summary == "2023-11-14T22:13:20.000Z  2 of 2 pools would change, nothing is written"
    assert heading.split() == [
        "POOL", "NOW→NEXT", "TARGET", "RECOMMENDED", "WANTED", "BOUND", "WHY",
    ]  # fmt: skip
    assert research.split()[:6] == ["acme/research", "2→4", "4", "4", "8", "max"]
    assert research.endswith("at most 4 replicas (max)")
    assert browser.split()[:6] == ["acme/browser", "0→3", "3", "3", "3", "demand"]


def test_json_is_one_versioned_line_in_the_fleet_files_order(ask: Ask) -> None:
    backwards = dict(reversed(BUSY.items()))
    code, out, _ = ask(tick(pools=backwards), options=("--json",))
    assert code == ExitCode.OK
    assert out.count("\n") == 1
    answer = json.loads(out)
    assert list(answer) == ["version", "at", "pools"]
    assert (answer["version"], answer["at"]) == (1, NOW)
    assert [each["pool"] for each in answer["pools"]] == ["acme/research", "acme/browser"]
    first = answer["pools"][0]
    assert list(first) == [
        "pool", "current", "wanted", "recommended", "target", "next", "bound", "gate", "reasons",
    ]  # fmt: skip
    assert (first["current"], first["next"], first["wanted"], first["gate"]) == (2, 4, 8, None)
    assert first["reasons"][-1] == {
        "code": "at_max",
        "value": 4,
        "numbers": {"max": 4},
        "sentence": "at most 4 replicas (max)",
    }


def test_memory_is_carried_from_tick_to_tick_in_virtual_time(ask: Ask) -> None:
    idle = [tick(s, pools={"acme/browser": pool(NOW + s, 3)}) for s in range(5)]
    code, out, _ = ask(*idle, options=("--json", "--all"))
    assert code == ExitCode.OK
    answers = [json.loads(line)["pools"][0] for line in out.splitlines()]
    assert [answer["gate"] for answer in answers] == ["warm_up"] * 3 + [None] * 2
    assert [answer["next"] for answer in answers] == [3, 3, 3, 0, 0]


def test_only_the_last_tick_is_printed_without_the_option_all(ask: Ask) -> None:
    ticks = [tick(s, pools={"acme/browser": pool(NOW + s, 3)}) for s in range(3)]
    assert ask(*ticks)[1].count("POOL") == 1
    assert ask(*ticks, options=("--all",))[1].count("POOL") == 3


def idle_with_memory(**memory: Any) -> dict[str, Any]:
    known = {"since": NOW - 100, "last_active_at": NOW - 50, **memory}
    run_ = {"replicas": 0, "first_at": NOW - 50, "last_at": NOW - 1}
    known["recommendations"] = [run_]
    return tick(pools={"acme/browser": pool(NOW, 3)}, memory={"pools": {"acme/browser": known}})


def test_a_lines_own_memory_replaces_what_was_carried(ask: Ask) -> None:
    empty = tick(-1, pools={"acme/browser": pool(NOW - 1, 3)})
    _, out, _ = ask(empty, idle_with_memory(), options=("--json",))
    assert json.loads(out)["pools"][0]["next"] == 0


def test_fresh_starts_without_the_memory_that_a_line_brings(ask: Ask) -> None:
    _, out, _ = ask(idle_with_memory(), options=("--json", "--fresh"))
    assert json.loads(out)["pools"][0]["gate"] == "warm_up"


def test_ticks_are_read_from_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, _ = write(tmp_path)
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(tick(pools=BUSY)).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["plan", "-f", fleet, "--observations", "-", "--json"]) == ExitCode.OK
    assert len(json.loads(capsys.readouterr().out)["pools"]) == 2


def test_every_wrong_line_is_named_and_nothing_is_planned(ask: Ask) -> None:
    lines = [tick(pools=BUSY), "{", "", tick(version=3), tick(1, pools=BUSY), tick(0.5)]
    code, out, err = ask(*lines)
    assert (code, out) == (ExitCode.USAGE, "")
    places = [line.partition("ticks.jsonl")[2] for line in err.splitlines()]
    assert places[0].startswith(":2: is not JSON")
    assert places[1] == ":4: version: must be 1, not 3"
    assert places[2].startswith(":6: now: must not go backwards")
    assert len(places) == 3


def test_two_ticks_of_one_moment_are_in_order(ask: Ask) -> None:
    assert ask(tick(pools=BUSY), tick(pools=BUSY))[0] == ExitCode.OK


def test_of_very_many_wrong_lines_the_first_are_reported_and_the_rest_counted(ask: Ask) -> None:
    _, _, err = ask(*["nonsense"] * (MAX_LINES_TOLD + 30))
    assert err.splitlines()[-1].endswith("and 30 more lines are wrong")
    assert len(err.splitlines()) == MAX_LINES_TOLD + 1


@pytest.mark.parametrize("content", [(), ("", "  ")])
def test_a_file_without_a_tick_is_an_error(ask: Ask, content: tuple[str, ...]) -> None:
    code, _, err = ask(*content)
    assert code == ExitCode.USAGE
    assert "has no tick" in err


@pytest.mark.parametrize("name", ["nowhere.jsonl", ".", "a\0b"])
def test_observations_that_cannot_be_read_are_reported_with_the_reason(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    fleet, _ = write(tmp_path)
    assert main(["plan", "-f", fleet, "--observations", f"{tmp_path}/{name}"]) == ExitCode.USAGE
    assert "cannot be read" in capsys.readouterr().err


def test_a_wrong_fleet_file_ends_with_its_errors(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text("version: 1\npols: []\n", "utf-8")
    assert main(["plan", "-f", str(tmp_path / "fleet.yaml")]) == ExitCode.USAGE
    assert "fleet.yaml:2:1: pols" in capsys.readouterr().err


def test_a_fleet_named_before_the_verb_stays_in_force(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fleet, ticks = write(tmp_path, tick(pools=BUSY))
    assert main(["-f", fleet, "plan", "--observations", ticks]) == ExitCode.OK
    assert "acme/research" in capsys.readouterr().out


def test_pools_that_no_tick_has_seen_are_noted(ask: Ask) -> None:
    code, _, err = ask(tick(pools={"acme/browser": pool(NOW, 1)}))
    assert (code, err) == (ExitCode.OK, "agentdash: not seen, so not decided: acme/research\n")


ABSURD = ["-1", "-9223372036854775808", "9223372036854775808", "1e300", "-1e300", "1" + "0" * 30]


@pytest.mark.parametrize("number", ABSURD)
@pytest.mark.parametrize("form", ["--json", "--all"])
def test_absurd_counts_are_answered_and_times_that_no_calendar_has_refused(
    ask: Ask, number: str, form: str
) -> None:
    count = number if "e" not in number else "3"
    seen = {
        "queue": fresh(777, pending=888, in_flight=888),
        "workload": fresh(777, replicas=888, ready=888, generation=888),
        "pods": fresh(777, ready=888, terminating=888),
        "woken_at": 777,
    }
    tenant = {
        "usage": fresh(777, used=888, burn_per_minute=888),
        "quota": fresh(777, replicas=6),
    }
    room = fresh(777, resources={"replicas": 6})
    line = tick(
        observation={
            "pools": {
                "acme/research": seen,
                "acme/browser": {**seen, "workload": fresh(1, replicas=2)},
            },
            "tenants": {"acme": tenant},
            "capacity": room,
        }
    )
    counted = re.sub(r"\b888\b", count, json.dumps(line))
    now, then = (re.sub(r"\b777\b", at, counted) for at in ("-1", number))
    code, out, _ = ask(now, now, options=(form,))
    assert code == ExitCode.OK
    if number != "-1":
        assert ask(then)[0] == ExitCode.USAGE
    if form == "--json":
        decode_report(out)


def test_the_handlers_of_interrupts_and_closed_pipes_are_restored(ask: Ask) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGPIPE)]
    ask(tick(pools=BUSY))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGPIPE)] == before


@tabled(
    ("of", "made", "title"),
    [
        ("plan", plan_schema, "agentdash plan"),
        ("observation", observation_schema, "agentdash observation"),
    ],
)
def test_a_schema_is_printed_with_its_dialect_title_and_version(
    capsys: pytest.CaptureFixture[str], of: str, made: Any, title: str
) -> None:
    assert main(["schema", of]) == ExitCode.OK
    schema = json.loads(capsys.readouterr().out)
    assert schema == json.loads(msgspec.json.encode(made()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (schema["title"], schema["version"]) == (title, 1)
    descriptions = [part["description"] for part in schema["$defs"].values() if "enum" not in part]
    assert all(text and "\n" not in text for text in descriptions)


def conforms(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """As much of JSON Schema as the two schemas use."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        return conforms(value, root["$defs"][name], root)
    if "anyOf" in schema:
        return any(conforms(value, member, root) for member in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    match schema["type"]:
        case "object":
            properties = schema.get("properties", {})
            others = schema.get("additionalProperties", True)
            return (
                isinstance(value, dict)
                and value.keys() >= set(schema.get("required", ()))
                and all(
                    conforms(item, properties[key], root)
                    if key in properties
                    else isinstance(others, dict) and conforms(item, others, root)
                    for key, item in value.items()
                )
            )
        case "array":
            items = schema.get("items", {})
            return isinstance(value, list) and all(conforms(item, items, root) for item in value)
        case kind:
            types = {"integer": int, "number": int | float, "string": str, "null": type(None)}
            return isinstance(value, types[kind])


@pytest.mark.parametrize("verb", [("plan",), ("why", "acme/research", "acme/browser")])
def test_output_and_input_conform_to_their_schemas(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: tuple[str, ...]
) -> None:
    paused = {"asked": [{"kind": "pause", "scope": {"tenant": "acme"}, "who": "ann"}]}
    blind = {"queue": {"type": "absent", "why": "disconnected"}}
    line = tick(pools={**BUSY, "acme/browser": blind}, intents=paused)
    fleet, ticks = write(tmp_path, line)
    assert main([*verb, "-f", fleet, "--observations", ticks, "--json"]) == ExitCode.OK
    answer = json.loads(capsys.readouterr().out)
    printed, read = json.loads(msgspec.json.encode([plan_schema(), observation_schema()]))
    assert conforms(answer, printed, printed)
    assert conforms(line, read, read)
    assert not conforms({**answer, "version": 2}, printed, printed)
    assert not conforms({**line, "surplus": 2}, read, read)


def test_with_the_option_all_ticks_before_a_wrong_line_are_printed_and_none_after_it(
    ask: Ask,
) -> None:
    lines = [tick(pools=BUSY), "{", tick(2, pools=BUSY)]
    code, out, err = ask(*lines, options=("--all", "--json"))
    assert code == ExitCode.USAGE
    assert [json.loads(line)["at"] for line in out.splitlines()] == [NOW]
    assert "ticks.jsonl:2: is not JSON" in err


def test_a_number_that_a_json_reader_cannot_hold_is_null() -> None:
    numbers: dict[str, int | float | str] = {"why": "x", "old_s": math.nan, "far_s": math.inf}
    reason = Reason(code=Code.QUEUE, value=2**63, numbers={**numbers, "count": 2**63, "ok": 7})
    subject = make_pool()
    decision = Decision(
        pool=subject.key,
        current=10**30,
        demand=-(2**63),
        recommendation=None,
        target=1,
        next=1,
        reasons=(reason,),
    )
    report = pool_report(subject, decision, NOW)
    assert (report.current, report.wanted, report.target) == (None, -(2**63), 1)
    assert report.reasons[0].value is None
    assert report.reasons[0].numbers == {
        "why": "x", "old_s": None, "far_s": None, "count": None, "ok": 7,
    }  # fmt: skip


def test_the_example_in_the_help_is_a_tick(ask: Ask) -> None:
    example = (
        next(each for each in VERBS if each.name == "plan")
        .examples.partition("echo '")[2]
        .partition("' |")[0]
        .replace("\n", "")
    )
    code, out, err = ask(example, options=("--json",))
    assert (code, err) == (ExitCode.OK, "agentdash: not seen, so not decided: acme/browser\n")
    assert json.loads(out)["pools"][0]["wanted"] == 8
