"""Forged snapshots, journals and intents: every view and verb that reads them answers or refuses in
words.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from agentdash.cli import main
from agentdash.tui.figures import UNICODE
from agentdash.tui.sheets import SheetForm, sheets_of, written
from agentdash.tui.tables import views
from agentdash.tui.view_state import ViewState
from controller.exit_codes import ExitCode
from controller.model.snapshot import Snapshot
from controller.nats.feed import FrameError, Part, snapshot_of
from controller.record.frames import SNAPSHOT_VERSION, whole_line
from fakes.cluster import SimCluster
from support.examples import scaled
from support.forged import ODD, forge
from support.forked import agentdash
from support.live import fleet_text, streams
from support.nats_server import RealNats
from tui import fleet_scenarios, scenarios
from tui.test_sheets import asked
from unit.verbs import test_report, test_whatif

FEED = [whole_line(each(), None) for each in (fleet_scenarios.burst, fleet_scenarios.over_budget)]
JOURNALS = [
    [whole_line(each, None) for each, _ in zip(hour(), range(4), strict=False)]
    for hour in (test_report.hour, test_whatif.hour)
]
REPORTS = ("sizing", "capacity", "spend", "compare")
UNTIL = ("--why", "x", "--until", "1h", "--yes")
VERBS = (
    *(("--once", view, "--json") for view in ("overview", "tenants", "audit", "intents")),
    *(("intents",), ("plan",), ("why", "acme/research"), ("undo", "--yes")),
    *(("cap", "acme/research", "2", *UNTIL), ("uncap", "acme/research", "--yes")),
    *(("pin", "acme/research", "2", *UNTIL), ("unpin", "acme/research", "--yes")),
    *(("pause", "acme", *UNTIL), ("resume", "acme", "--yes"), ("resume", "--all", "--yes")),
    *(("freeze", "--all", *UNTIL), ("thaw", "--all", "--yes"), ("budget", "acme", "10", *UNTIL)),
)
KEYS = (
    *("pin.acme.research", "cap.acme.research", "pause", "pause.acme", "freeze", "budget.acme"),
    *("pin", "pause.acme.nosuch", "cap.acme.research.x", "nothing.acme"),
)
INTENT = {
    "version": 1,
    "who": "ann",
    "why": "night",
    "until": 1_900_000_000,
    "replicas": 3,
    "keep": 1,
    "tokens": 5,
    "by": "ben",
    "origin": "here",
    "replaces": 1,
    "undoes": 1,
}
PLAIN = (b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 5_000, b"1e999")
PART = Part(SNAPSHOT_VERSION, 1, 1, 0, 0, 1, b"")
IN_WORDS = {*ExitCode} - {ExitCode.FAILED}


def plain_json(text: str) -> Any:
    """It has no NaN and no infinity, which are no JSON."""
    return json.loads(text, parse_constant=pytest.fail)


def taken(line: Any) -> Snapshot | None:
    """The snapshot, if one who attaches takes it."""
    try:
        return snapshot_of(json.dumps(line).encode(), PART, None)
    except FrameError:
        return None


@settings(max_examples=scaled(60), deadline=None, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32), base=st.sampled_from(range(len(FEED))))
def test_every_view_of_a_forged_snapshot_is_drawn(seed: int, base: int) -> None:
    plain = json.loads(FEED[base])
    forge(Random(seed), plain["change"], lambda: taken(plain) is not None)
    snapshot = taken(plain)
    assert snapshot is not None
    state = ViewState(scenarios.NOW, UNICODE)
    state.accept(snapshot)
    frame = asked(state.refresh(scenarios.NOW, None))
    for name, view in views().items():
        for form in SheetForm:
            text = written(name, sheets_of(view, frame), frame, form, 120)
            assert form is not SheetForm.JSON or plain_json(text)


@settings(max_examples=scaled(15), deadline=None, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32), base=st.sampled_from(range(len(JOURNALS))))
def test_every_verb_reads_a_forged_journal(
    seed: int, base: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("forged")
    journal, fleet = folder / "journal.jsonl", folder / "fleet.yaml"
    fleet.write_text(test_whatif.FLEET)
    lines = [json.loads(line) for line in JOURNALS[base]]
    for line in lines[1:]:
        forge(Random(seed), line["change"], lambda line=line: taken(line) is not None)
    journal.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    change = ("--set", "pools.acme/writer.replicas.max=6")
    for verb in (
        *(("report", kind, str(journal), "--json") for kind in REPORTS),
        ("whatif", str(journal), "-f", str(fleet), *change, "--json"),
        *(("--replay", str(journal), "--once", view, "--json") for view in ("pools", "events")),
    ):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(verb))
        assert code in IN_WORDS, err.getvalue()
        assert plain_json(out.getvalue()) if code == ExitCode.OK else err.getvalue()


FORGED = st.lists(st.tuples(st.sampled_from(sorted(INTENT)), st.sampled_from(ODD)), max_size=3)


@settings(max_examples=scaled(1), deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    forged=st.dictionaries(st.sampled_from(KEYS), FORGED, min_size=5), odd=st.sampled_from(PLAIN)
)
@example(forged={key: [("until", 1_795_000_000_000)] for key in KEYS[1:]}, odd=b"{")
@pytest.mark.timeout(1200)
def test_every_verb_and_view_answers_beside_forged_intents(
    forged: dict[str, list[tuple[str, Any]]], odd: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stored = {key: json.dumps(INTENT | dict(each)).encode() for key, each in forged.items()}
    folder = tmp_path_factory.mktemp("forged")
    asyncio.run(_answer_beside({KEYS[0]: odd, **stored}, folder))


async def _answer_beside(stored: dict[str, bytes], folder: Path) -> None:
    with RealNats(folder / "nats") as server:
        async with streams(server.url, ["research"]) as client, SimCluster(speed=50) as sim:
            fleet, kubeconfig = folder / "fleet.yaml", folder / "kubeconfig"
            place = ("-f", fleet, "--kubeconfig", kubeconfig)
            fleet.write_text(fleet_text(server.url, ["research"]), "utf-8")
            sim.write_kubeconfig(kubeconfig)
            await sim.create_namespace("tenant-acme")
            await sim.create_deployment("research", "tenant-acme")
            made = await agentdash("freeze", "acme", *UNTIL, *place)
            assert made.code == ExitCode.OK, made.err
            for verb in VERBS:
                for key, value in stored.items():
                    await client.jetstream().publish(f"$KV.agentdash.intent.{key}", value)
                ended = await agentdash(*verb, *place)
                assert ended.code in IN_WORDS, (verb, stored, ended.err)
                assert "Traceback" not in ended.err, (verb, stored, ended.err)
