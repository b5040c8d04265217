"""A reason and a verb are added in one file, a finding as one row with its test; each is where it
should be.
"""

from __future__ import annotations

import ast
import json
import sys
from argparse import Namespace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from agentdash import cli, verb_table
from agentdash.verb_table import VerbEntry, switch
from controller.engine.actuate import Recorder
from controller.engine.show.findings import FINDINGS, POOL_TESTS, read_kinds
from controller.engine.show.snapshot import SnapshotBuilder
from controller.expose.metrics import MetricsPage
from controller.model import decision
from controller.model.snapshot import (
    FROZEN,
    INVALID_FILE,
    JOURNAL_DOWN,
    NO_WRITE,
    OVERTAKEN,
    Role,
    Severity,
)
from controller.planning.explain import headline, sentence, title
from controller.report.plan import encode_report, plan_report, pool_report
from support.world import START, make_fleet, make_pool

ROOT = Path(__file__).parents[2]
ROW = """
luck | critical | its name has {letters} letters | choose a shorter name
"""


def test_a_finding_of_one_row_is_shown_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FINDINGS, "luck", read_kinds(ROW)["luck"])
    monkeypatch.setitem(POOL_TESTS, "luck", lambda pool: {"letters": len(pool.key)})
    pool = make_pool("research")
    builder = SnapshotBuilder(
        recorder=Recorder(writes=False),
        fleet=make_fleet(pool),
        name="fleet.yaml",
        context="",
        interval_s=1.0,
        epoch=START,
    )
    snapshot = builder.snapshot(now=START, role=Role.ACTIVE)
    first = snapshot.findings[0]
    assert (first.severity, first.subject, first.kind) == (Severity.CRITICAL, pool.key, "luck")
    assert first.text == "its name has 13 letters"
    page = MetricsPage(lambda: snapshot, dict).text(openmetrics=False)
    assert f'agentdash_finding{{kind="luck",severity="critical",subject="{pool.key}"}} 1.0' in page


def test_a_reason_of_one_file_is_told_in_words_and_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(decision.__file__).read_text("utf-8")
    text = text.replace('    QUEUE = "queue"\n', '    LUCK = "luck"\n    QUEUE = "queue"\n')
    text = text.replace(
        "\nqueue: ", "\nluck: Lucky | {value:replica} for {charms:charm}\nqueue: ", 1
    )
    module = ModuleType("template")
    monkeypatch.setitem(sys.modules, "template", module)
    exec(text, module.__dict__)
    reason = module.Reason(code=module.Code.LUCK, value=3, numbers={"charms": 2})
    pool = make_pool("research")
    made = module.Decision(
        pool=pool.key, current=1, demand=1, recommendation=1, target=3, next=3, reasons=(reason,)
    )
    assert title(reason.code) == "Lucky"
    assert headline(made, START) == "now 1 → next 3 (target 3, wanted 1): 3 replicas for 2 charms"
    report = json.loads(encode_report(plan_report(START, (pool_report(pool, made, START),))))
    [told] = report["pools"][0]["reasons"]
    numbers = {"charms": 2}
    words = {"code": "luck", "value": 3, "numbers": numbers, "sentence": sentence(reason, START)}
    assert told == words
    stored = msgspec.json.encode(made)
    assert msgspec.json.decode(stored, type=module.Decision) == made


def test_a_verb_of_one_entry_is_listed_explained_and_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("template")

    def wish(options: Namespace) -> int:
        return 7 if options.twice else 5

    monkeypatch.setattr(module, "wish", wish, raising=False)
    monkeypatch.setitem(sys.modules, "template", module)
    arguments = (switch("--twice", "say it again"),)
    entry = VerbEntry("luck", "wish luck", "template:wish", arguments, reads_fleet=False)
    monkeypatch.setattr(verb_table, "VERBS", (*verb_table.VERBS, entry))
    spec = spec_from_file_location("shell", cli.__file__)
    assert spec is not None
    assert spec.loader is not None
    shell = module_from_spec(spec)
    spec.loader.exec_module(shell)
    for words, told in ((["--help"], ("luck", "wish luck")), (["help", "luck"], ("say it again",))):
        with pytest.raises(SystemExit):
            shell.main(words)
        printed = capsys.readouterr().out
        assert all(each in printed for each in told)
    assert (shell.main(["luck"]), shell.main(["luck", "--twice"])) == (5, 7)


def test_each_kind_that_is_found_has_a_row() -> None:
    named = set()
    for file in (ROOT / "controller" / "engine").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            is_found = isinstance(node, ast.Call) and ast.unparse(node.func) == "found"
            if is_found and isinstance(node.args[0], ast.Constant):
                named.add(node.args[0].value)
    named |= {NO_WRITE, OVERTAKEN, INVALID_FILE, JOURNAL_DOWN, FROZEN}
    assert len(named) > 15
    assert named | POOL_TESTS.keys() <= FINDINGS.keys()
    assert all(each.words and each.to_do for each in FINDINGS.values())
