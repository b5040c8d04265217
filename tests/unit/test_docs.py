"""What the docs show is true: commands are those of the parser, files are fleet files. What
needs nothing but this machine is run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agentdash.cli import main, parser_of_verbs
from controller.config import json_schema, load
from support.table import tabled

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "pages").rglob("*.md"))]
TICK = """{"version": 1, "now": 1700000000, "observation": {"pools": {"acme/research": {
 "queue": {"type": "fresh", "at": 1700000000, "value": {"pending": 7, "in_flight": 1}},
 "workload": {"type": "fresh", "at": 1700000000, "value": {"replicas": 2}},
 "pods": {"type": "fresh", "at": 1700000000, "value": {"ready": 2}}}}}}"""
# These need nothing but the fleet file of the docs; the others need a terminal, NATS or Kubernetes,
# and are run by the tests of their verbs.
ALONE = ("example", "manifests", "--once help", "plan", "completion", "schema")


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for found in re.findall(
            rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
        ):
            yield page, found


def commands() -> list[str]:
    """The lines that call agentdash, without comments, pipes and redirections."""
    lines = (line.strip() for _, text in blocks("sh") for line in text.splitlines())
    called = (line for line in lines if line.startswith("agentdash "))
    return sorted({re.split(r"\s+[|>&#]", line)[0] for line in called})


def fleet_of_the_docs() -> str:
    return next(text for _, text in blocks("yaml") if "version:" in text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fleet.yaml").write_text(fleet_of_the_docs(), "utf-8")
    (tmp_path / "ticks.jsonl").write_text(TICK.replace("\n", ""), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_commands_and_fleet_files() -> None:
    assert len(commands()) > 20
    assert sum("version:" in text for _, text in blocks("yaml")) == 2


@tabled("command", commands())
def test_each_command_is_one_of_the_command_line(command: str) -> None:
    parser_of_verbs().parse_args(shlex.split(command)[1:])


@pytest.mark.parametrize(
    "command",
    [
        each
        for each in commands()
        if each.split(" ", 1)[1].startswith(ALONE)
        and ("plan" not in each or "--observations" in each)
    ],
)
def test_what_needs_only_this_machine_runs(
    place: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("page", "text"), [pytest.param(page, text, id=page.name) for page, text in blocks("yaml")]
)
def test_each_yaml_is_a_fleet_file_or_a_part_of_one(place: Path, page: Path, text: str) -> None:
    whole = yaml.safe_load(fleet_of_the_docs())
    file = place / "part.yaml"
    file.write_text(yaml.safe_dump({**whole, **yaml.safe_load(text)}), "utf-8")
    assert load(file).fleet.pools


def test_the_page_on_money_names_keys_of_the_fleet_file() -> None:
    text = (ROOT / "docs/pages/money.md").read_text("utf-8")
    rows = [row.split("|")[2] for row in text.splitlines() if row.startswith("| ")][1:]
    named = {key for row in rows for key in re.findall(r"`([a-z_.A-Z]+)`", row)}
    keys = set(re.findall(r'"([a-z_]+)": \{', json.dumps(json_schema())))
    assert len(named) > 5
    assert {part for key in named for part in key.split(".") if part.islower()} <= keys


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
            made = {"reference/fleet-file.md", "reference/verbs.md", "reference/exit-codes.md"}
            beside = ROOT / target.removeprefix("../")
            assert target in made or (page.parent / target).exists() or beside.exists(), target
