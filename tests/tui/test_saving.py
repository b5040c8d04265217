"""Views as files, and rows on the clipboard of the person's own terminal."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentdash.tui.exports import (
    MOST_BYTES,
    SaveError,
    TooLongError,
    clipboard_sequence,
    file_named,
    proposed_name,
    write_new,
)
from tui import scenarios
from tui.sessions import Session, session
from tui.terminal import TESTS, terminal, wait_for

WIDE = (160, 45)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


async def save_as(running: Session, name: str) -> None:
    await running.keys("ctrl+s")
    running.app.view.prompt.input.value = name
    await running.keys("enter")
    await running.pilot.pause()


async def test_enter_saves_the_view_under_a_name_with_its_time(folder: Path) -> None:
    async with session(scenarios.mixed_fleet(), WIDE) as running:
        await running.type(":pools")
        await running.keys("enter", "ctrl+s")
        assert "esc leaves" in running.text("#prompt-note")
        await running.keys("enter")
        await running.pilot.pause()
        assert "saved pools as agentdash-pools-" in running.text("#crumbs")
    [file] = folder.iterdir()
    assert re.fullmatch(r"agentdash-pools-\d{8}-\d{6}Z\.csv", file.name)
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["pool"] for row in rows} >= {"acme/browser-gpu", "initech/etl"}


async def test_only_the_rows_that_are_shown_are_saved_in_their_order(folder: Path) -> None:
    async with session(scenarios.mixed_fleet(), WIDE) as running:
        await running.type(":pools /acme")
        await running.keys("enter")
        shown = list(running.app.view.table.visible_keys)
        await save_as(running, "acme.json")
    saved = json.loads((folder / "acme.json").read_text())
    assert [row["pool"] for row in saved["pools"]] == shown
    assert 0 < len(shown) < 9


async def test_text_and_picture_are_without_the_prompt(folder: Path) -> None:
    async with session(scenarios.mixed_fleet(), WIDE) as running:
        await save_as(running, "fleet.txt")
        await save_as(running, "fleet.svg")
        await running.keys("d")
        await save_as(running, "why.txt")
    assert "attention [4]" in (folder / "fleet.txt").read_text()
    picture = (folder / "fleet.svg").read_text()
    assert picture.startswith("<svg")
    assert picture.count("<text ") == picture.count('<text xml:space="preserve" ') > 9
    assert "esc&#160;leaves" not in picture
    why = (folder / "why.txt").read_text()
    assert "overview > pool" in why
    assert "esc leaves" not in why


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("there.csv", "is there already"),
        ("fleet.xls", "must end in .csv, .json, .svg or .txt"),
        ("fleet", "must end in"),
        ("nowhere/fleet.csv", "No such file or directory"),
    ],
)
async def test_what_cannot_be_saved_is_said(folder: Path, name: str, words: str) -> None:
    (folder / "there.csv").write_text("mine")
    async with session(scenarios.mixed_fleet(), WIDE) as running:
        await save_as(running, name)
        assert words in running.text("#prompt-note") + running.text("#crumbs")
    assert [each.read_text() for each in folder.iterdir()] == ["mine"]


async def test_a_view_without_a_table_takes_no_csv(folder: Path) -> None:
    async with session(scenarios.mixed_fleet(), WIDE) as running:
        await running.keys("d")
        await save_as(running, "why.csv")
        assert "no table for .csv" in running.text("#prompt-note")
        await running.keys("escape")
    assert not list(folder.iterdir())


async def test_before_the_first_snapshot_there_is_nothing_to_save_or_copy() -> None:
    async with session(None) as running:
        await running.keys("ctrl+s")
        assert "nothing to save yet" in running.text("#crumbs")
        await running.keys("c")
        assert "nothing to copy here" in running.text("#crumbs")


def test_a_file_that_appears_meanwhile_is_not_written_over(folder: Path) -> None:
    path, _ = file_named("late.csv", has_tables=True)
    path.write_text("mine")
    with pytest.raises(SaveError, match="is there already"):
        write_new(path, "theirs")
    assert path.read_text() == "mine"


def test_a_broken_link_is_not_followed(folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "elsewhere.csv")
    with pytest.raises(SaveError, match="is there already"):
        file_named("link.csv", has_tables=True)


def test_a_view_without_tables_is_proposed_as_text() -> None:
    assert proposed_name("why", scenarios.NOW, has_tables=False).endswith("-120449Z.txt")


def test_a_sequence_for_tmux_comes_plain_and_wrapped() -> None:
    plain = clipboard_sequence("a/b", {})
    assert plain == f"\x1b]52;c;{base64.b64encode(b'a/b').decode()}\x07"
    assert clipboard_sequence("a/b", {"TMUX": "x"}) == f"{plain}\x1bPtmux;\x1b{plain}\x1b\\"


def test_a_sequence_for_screen_comes_in_parts_that_it_takes() -> None:
    text = "x" * 1000
    parts = clipboard_sequence(text, {"STY": "x"}).split("\x1b\\")[:-1]
    assert all(part.startswith("\x1bP") and len(part) < 256 for part in parts)
    assert "".join(part[2:] for part in parts) == clipboard_sequence(text, {})


def test_a_text_that_terminals_do_not_take_is_refused() -> None:
    assert len(clipboard_sequence("x" * MOST_BYTES, {})) < 100_008
    with pytest.raises(TooLongError):
        clipboard_sequence("x" * (MOST_BYTES + 1), {})


RUN = """
from agentdash.tui.app import run_dashboard
from tui import scenarios
feed = scenarios.FakeFeed(scenarios.mixed_fleet())
run_dashboard(
    feed, clock=scenarios.FixedClock(), on_ready=lambda: None, engine_error=lambda: None
)
"""


def copied(output: bytes) -> list[str]:
    found = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", output)
    return [base64.b64decode(each).decode() for each in found]


def test_c_copies_the_pool_and_shift_c_the_row_and_ctrl_s_comes_through() -> None:
    with terminal(RUN, size=WIDE, environment={"PYTHONPATH": f"{TESTS}:{TESTS.parent}"}) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        seen.type(b"c")
        seen.read_until(lambda output: b"copied" in output and copied(output) != [])
        seen.type(b"C")
        seen.read_until(lambda output: len(copied(output)) > 1)
        seen.type(b"\x13")
        seen.read_until(lambda output: b"esc leaves" in output)
    key, row = copied(seen.output)[:2]
    assert key == "globex/canary"
    assert row.split("\t")[:2] == [key, "!! blind"]


def tmux(socket: Path, *arguments: str) -> str:
    ended = subprocess.run(
        ["tmux", "-S", socket, "-f", os.devnull, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return ended.stdout


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_tmux_takes_what_is_copied(folder: Path) -> None:
    socket, program = folder / "tmux", folder / "run.py"
    program.write_text(RUN)
    run = f"PYTHONPATH={TESTS}:{TESTS.parent} LANG=C.UTF-8 {sys.executable} {program}"
    tmux(socket, "new-session", "-d", "-x", "160", "-y", "45", run)
    try:
        tmux(socket, "set-option", "-g", "set-clipboard", "on")
        wait_for(lambda: "browser-gpu" in tmux(socket, "capture-pane", "-p"))
        tmux(socket, "send-keys", "c")
        wait_for(lambda: tmux(socket, "show-buffer") == "globex/canary")
    finally:
        tmux(socket, "kill-server")
