"""The dashboard as a process in a terminal: how it starts, ends and fails, and its colours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tui.recording import screen_of
from tui.terminal import terminal

RUN = """
import sys
from agentdash.tui.app import run_dashboard
from tui import scenarios
feed = scenarios.FakeFeed(scenarios.{scenario}())
sys.exit(
    run_dashboard(
        feed,
        clock=scenarios.FixedClock(),
        on_ready={on_ready},
        engine_error=lambda: None,
    )
)
"""
FAIL = """
import sys
from agentdash.tui import app
from tui import scenarios

def failing(*_):
    secret = "canary-in-a-local-variable"
    raise RuntimeError("a widget failed")

app.OverviewScreen.draw_body = failing
feed = scenarios.FakeFeed(scenarios.mixed_fleet())
clock = scenarios.FixedClock()
sys.exit(
    app.run_dashboard(feed, clock=clock, on_ready=lambda: None, engine_error=lambda: None)
)
"""
LEFT_ALTERNATE_SCREEN = b"\x1b[?1049l"
SHOWN_CURSOR = b"\x1b[?25h"


def shown(output: bytes) -> str:
    """What a terminal of the usual size shows after this output."""
    screen, stream = screen_of((100, 30))
    stream.feed(output.decode("utf-8", "replace"))
    return "\n".join(screen.display)


def run(scenario: str = "mixed_fleet", on_ready: str = "lambda: None") -> str:
    return RUN.format(scenario=scenario, on_ready=on_ready)


def test_it_starts_and_shows_the_fleet_and_leaves_a_clean_terminal() -> None:
    with terminal(run()) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        seen.type(b"qq")
        assert seen.finish() == 0
        assert LEFT_ALTERNATE_SCREEN in seen.output
        assert SHOWN_CURSOR in seen.output


SHELL = """
import fcntl, os, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
"""


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_paints_the_screen_again(
    tmp_path: Path,
) -> None:
    program = tmp_path / "run.py"
    program.write_text(run())
    with terminal(SHELL) as seen:
        run_it = f"import runpy; runpy.run_path('{program}')"
        seen.type(f'{sys.executable} -c "{run_it}"\r'.encode())
        seen.read_until(lambda output: b"browser-gpu" in output)
        seen.type(b"\x1a")
        output = seen.read_until(lambda output: b"Stopped" in output)
        left = output.rindex(LEFT_ALTERNATE_SCREEN)
        assert SHOWN_CURSOR in output[left - 200 :]
        seen.type(b"stty -a | grep -o ' echo ' | wc -l; echo sum=$((40 + 2))\r")
        seen.read_until(lambda output: b"sum=42" in output)
        assert b"1\r\nsum=42" in seen.output
        seen.output = b""
        seen.type(b"fg\r")
        seen.read_until(lambda output: b"browser-gpu" in output and b"was suspended" in output)
        seen.type(b"qq")
        # what is typed before the shell has the terminal again is thrown away
        prompt = re.compile(rb"(?s).*" + re.escape(LEFT_ALTERNATE_SCREEN) + rb".*[$#] $")
        seen.read_until(lambda output: prompt.search(output) is not None)
        seen.type(b"echo code=$?; exit\r")
        seen.read_until(lambda output: b"code=0" in output)


def test_ctrl_z_without_a_shell_behind_it_stops_nothing() -> None:
    with terminal(run()) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        seen.type(b"\x1a")
        seen.read_until(lambda output: b"no shell is behind" in output)
        seen.type(b"qq")
        assert seen.finish() == 0


def test_ready_is_called_after_the_first_paint() -> None:
    on_ready = "lambda: sys.__stdout__.write('<<READY>>') and sys.__stdout__.flush()"
    with terminal(run(on_ready=on_ready)) as seen:
        output = seen.read_until(lambda output: b"<<READY>>" in output)
        assert b"prod-eu1" in output[: output.index(b"<<READY>>")]


@pytest.mark.parametrize("keys", [b"\r", b"d", b"?", b":pl\r", b"\x10"])
def test_ready_is_called_if_a_key_is_pressed_before_the_first_paint(keys: bytes) -> None:
    on_ready = "lambda: sys.__stdout__.write('<<READY>>') and sys.__stdout__.flush()"
    with terminal(run(on_ready=on_ready)) as seen:
        seen.type(keys)
        seen.read_until(lambda output: b"<<READY>>" in output)


def test_a_widget_that_fails_leaves_a_clean_terminal_and_the_error() -> None:
    with terminal(FAIL) as seen:
        assert seen.finish() == 1
        after = seen.output[seen.output.rindex(LEFT_ALTERNATE_SCREEN) :]
        assert SHOWN_CURSOR in seen.output
        assert b"a widget failed" in after
        assert b"canary-in-a-local-variable" not in seen.output


def test_with_no_color_there_are_no_colours() -> None:
    with terminal(run(), environment={"NO_COLOR": "1"}) as seen:
        output = seen.read_until(lambda output: b"browser-gpu" in output)
        codes = re.findall(rb"\x1b\[([0-9;]*)m", output)
        assert codes
        numbers = {number for code in codes for number in code.split(b";") if number}
        assert numbers <= {b"0", b"1", b"2", b"4", b"7", b"39", b"49"}
        seen.type(b"qq")
        assert seen.finish() == 0


def test_what_is_typed_right_behind_a_slash_belongs_to_the_filter() -> None:
    with terminal(run()) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        seen.type(b"/etl")
        seen.read_until(lambda output: "1 match in pools" in shown(output))
        seen.type(b"\r")
        seen.read_until(lambda output: "<:>cmd" in shown(output))
        seen.type(b":pl\r")
        seen.read_until(lambda output: "overview > pools" in shown(output))
        seen.type(b"q")
        seen.read_until(lambda output: "overview > pools" not in shown(output))
        seen.type(b"qq")
        assert seen.finish() == 0


@pytest.mark.parametrize("term", ["linux", "vt100"])
def test_it_works_on_simple_terminals(term: str) -> None:
    with terminal(run(), environment={"TERM": term, "COLORTERM": ""}) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        seen.type(b"qq")
        assert seen.finish() == 0


def test_it_survives_many_resizes() -> None:
    with terminal(run()) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        for size in ((20, 5), (160, 45), (61, 15), (100, 30)):
            seen.resize(*size)
        seen.type(b"qq")
        assert seen.finish() == 0


def test_no_hostile_sequence_reaches_a_real_terminal() -> None:
    with terminal(run("hostile_fleet")) as seen:
        output = seen.read_until(lambda output: b"app.quit()" in output)
        assert b"\x1b]52" not in output
        assert b"\x9b31m" not in output.replace(b"\xc2\x9b", b"\x9b")
        assert "\u202e".encode() not in output
        seen.type(b"qq")
        assert seen.finish() == 0


def test_the_dashboard_loads_neither_kubernetes_nor_nats_nor_the_engine() -> None:
    program = "import sys, agentdash.tui.app; print(' '.join(sorted(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    forbidden = (
        "kubernetes",
        "nats",
        "aiohttp",
        "pydantic",
        "controller.engine",
        "controller.nats",
    )
    assert not [name for name in loaded if name.startswith(forbidden)]
