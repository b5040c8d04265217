from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from controller.engine.intents import Switches, read_freeze_file
from controller.engine.supervise import SignalSwitch
from controller.model.intents import IntentKind, Scope
from controller.model.snapshot import FROZEN, JOURNAL_DOWN, Severity
from support.asked import a_freeze, intents_of
from support.world import VirtualClock

OF_A_PERSON = a_freeze(scope=Scope(tenant="acme"), who="ann", why="upgrade")


def switches(path: Path | None, signals: SignalSwitch | None = None) -> Switches:
    return Switches(
        None if path is None else str(path),
        signals or SignalSwitch(),
        VirtualClock(),
        interval_s=1.0,
    )


async def test_a_freeze_file_freezes_with_its_text_as_the_reason_until_it_is_removed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "freeze"
    found = switches(path)
    await found.look()
    assert found.allow()
    path.write_text("database \x1b[31mupgrade\n", "utf-8")
    await found.look()
    assert not found.allow()
    [freeze] = found.freezes
    assert (freeze.scope, freeze.who) == (Scope(), f"freeze file {path}")
    assert freeze.why == "database \N{REPLACEMENT CHARACTER}[31mupgrade"
    path.unlink()
    await found.look()
    assert found.allow()
    assert found.freezes == ()


async def test_a_change_of_a_switch_concerns_the_whole_fleet_and_is_told_once(
    tmp_path: Path,
) -> None:
    path = tmp_path / "freeze"
    found, told = switches(path), list[object]()
    found.on_change(told.append)
    path.touch()
    await found.look()
    await found.look()
    assert told == [(Scope(),)]
    path.unlink()
    await found.look()
    assert told == [(Scope(),)] * 2


@pytest.mark.parametrize("kind", ["folder", "dangling link", "unreadable"])
async def test_a_freeze_file_that_cannot_be_read_freezes_too(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "freeze"
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nothing")
    else:
        path.symlink_to("/proc/self/mem")  # opens, and gives an error when it is read
    found = switches(path)
    await found.look()
    assert not found.allow()
    assert "its reason cannot be read" in found.freezes[0].why


def test_a_pipe_as_a_freeze_file_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "freeze"
    os.mkfifo(path)
    assert read_freeze_file(path) == ""


async def test_a_freeze_file_that_cannot_be_looked_for_leaves_the_switch_as_it_was() -> None:
    answers: list[str | OSError] = ["upgrade", OSError(5, "Input/output error")]

    def read(_: Path) -> str | None:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    found = Switches("/share/freeze", SignalSwitch(), VirtualClock(), interval_s=1.0, read=read)
    await found.look()
    await found.look()
    assert not found.allow()
    texts = {kind: text for _, _, kind, text in found.findings()}
    assert "input/output error" in texts["unknown"]
    assert "upgrade" in texts[FROZEN]


async def test_a_look_that_hangs_is_not_joined_by_a_second_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controller.engine.intents.LOOK_LIMIT_S", 0.05)
    goes_on, looks = threading.Event(), list[Path]()

    def read(path: Path) -> str | None:
        looks.append(path)
        goes_on.wait()
        return None

    found = Switches("/share/freeze", SignalSwitch(), VirtualClock(), interval_s=1.0, read=read)
    try:
        async with asyncio.timeout(5.0):
            await found.look()
            await found.look()
        assert len(looks) == 1
        [(_, _, kind, text)] = found.findings()
        assert (kind, "no answer within 0.05 s" in text) == ("unknown", True)
    finally:
        goes_on.set()


async def test_a_thaw_by_signal_does_not_end_the_freeze_of_a_file(tmp_path: Path) -> None:
    path, signals = tmp_path / "freeze", SignalSwitch()
    path.touch()
    found = switches(path, signals)
    signals.is_on = True
    await found.look()
    signals.is_on = False
    await found.look()
    assert not found.allow()
    assert [each.why for each in found.freezes] == ["the file gives no reason"]


async def test_switches_come_before_the_freezes_of_operators(tmp_path: Path) -> None:
    path = tmp_path / "freeze"
    found, intents = switches(path), intents_of(freezes=(OF_A_PERSON,))
    assert found.added_to(intents) is intents
    path.touch()
    await found.look()
    together = found.added_to(intents)
    assert together.of(IntentKind.FREEZE) == (*found.freezes, OF_A_PERSON)
    assert found.added_to(intents) is together


async def test_a_journal_that_cannot_be_written_stops_every_write_until_it_can() -> None:
    why: list[str] = []
    found = Switches(
        None,
        SignalSwitch(),
        VirtualClock(),
        interval_s=1.0,
        journal_down=lambda: why[0] if why else None,
    )
    await found.look()
    assert found.allow()
    why.append("/var/j.jsonl: no space left on device")
    assert not found.allow()  # before the next look, too
    await found.look()
    [(severity, subject, kind, text)] = found.findings()
    assert (severity, subject, kind) == (Severity.CRITICAL, "journal", JOURNAL_DOWN)
    assert "no space left on device" in text
    why.clear()
    await found.look()
    assert (found.allow(), found.freezes, list(found.findings())) == (True, (), [])
