"""The dashboard as a process in a terminal: how it starts, ends and fails, and its colours."""

from __future__ import annotations

import json
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.exit_codes import ExitCode
from tui.recording import screen_of
from tui.terminal import terminal

RUN = """
import sys
from textual._context import active_app
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
from agentdash.tui.app import run_dashboard
from agentdash.tui.screens.views import OverviewScreen
from tui import scenarios

def failing(*_):
    secret = "canary-in-a-local-variable"
    raise RuntimeError("a widget failed")

OverviewScreen.draw_body = failing
feed = scenarios.FakeFeed(scenarios.mixed_fleet())
clock = scenarios.FixedClock()
sys.exit(
    run_dashboard(feed, clock=clock, on_ready=lambda: None, engine_error=lambda: None)
)
"""
FAIL_BESIDE_AN_ENGINE = """
import asyncio
import sys
import time
from agentdash.tui.app import run_dashboard
from agentdash.tui.screens.views import OverviewScreen
from controller.engine.supervise import EngineThread
from tui import scenarios

ticks = []

async def engine(stopping):
    while not stopping.is_set():
        ticks.append(None)
        await asyncio.sleep(0.01)

drawn = OverviewScreen.draw_body

def failing(*args):
    if ticks:
        raise RuntimeError("a widget failed")
    drawn(*args)

OverviewScreen.draw_body = failing
thread = EngineThread(engine)
code = run_dashboard(
    scenarios.FakeFeed(None),
    clock=scenarios.FixedClock(),
    on_ready=thread.start,
    engine_error=thread.problem,
)
there, until = len(ticks), time.monotonic() + 10
while len(ticks) < there + 5 and time.monotonic() < until:
    time.sleep(0.01)
print("ticks went on:", len(ticks) >= there + 5, "its problem:", thread.problem())
print("stopped in peace:", thread.stop(5.0), thread.fatal())
sys.exit(code)
"""
LEFT_ALTERNATE_SCREEN = b"\x1b[?1049l"
SHOWN_CURSOR = b"\x1b[?25h"
ERASED = re.compile(rb"\x1b\[\d+X")
STYLE = re.compile(rb"\x1b\[[0-9;]*m")


def shown(output: bytes) -> str:
    """What a terminal of the usual size shows after this output."""
    screen, stream = screen_of((100, 30))
    stream.feed(output.decode("utf-8", "replace"))
    return "\n".join(screen.display)


def run(scenario: str = "mixed_fleet", on_ready: str = "lambda: None") -> str:
    return RUN.format(scenario=scenario, on_ready=on_ready)


def test_it_starts_and_shows_the_fleet_and_leaves_a_clean_terminal() -> None:
    with terminal(run(), size=(160, 45)) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        seen.type(b"qq")
        assert seen.finish() == 0
        assert ERASED.search(seen.output)
        assert b" " * 20 not in seen.output
        drawn, left, _ = seen.output.partition(LEFT_ALTERNATE_SCREEN)
        assert left
        assert STYLE.findall(drawn)[-1] == b"\x1b[m"
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


# a thread of Textual writes to the terminal, so the mark goes the same way as the first paint
MARK_READY = "lambda: active_app.get().write_raw('<<READY>>')"


def test_ready_is_called_after_the_first_paint() -> None:
    with terminal(run(on_ready=MARK_READY)) as seen:
        output = seen.read_until(lambda output: b"<<READY>>" in output)
        assert b"prod-eu1" in output[: output.index(b"<<READY>>")]


def test_ready_is_called_if_keys_are_pressed_before_the_first_paint() -> None:
    with terminal(run(on_ready=MARK_READY)) as seen:
        seen.type(b"d:pl\r\x10")
        seen.read_until(lambda output: b"<<READY>>" in output)


def test_a_widget_that_fails_leaves_a_clean_terminal_and_the_error() -> None:
    with terminal(FAIL) as seen:
        assert seen.finish() == 1
        after = seen.output[seen.output.rindex(LEFT_ALTERNATE_SCREEN) :]
        assert SHOWN_CURSOR in seen.output
        assert b"a widget failed" in after
        assert b"canary-in-a-local-variable" not in seen.output


def test_a_controller_in_the_same_process_ticks_on_while_a_widget_fails() -> None:
    with terminal(FAIL_BESIDE_AN_ENGINE) as seen:
        assert seen.finish() == 1
        after = seen.output[seen.output.rindex(LEFT_ALTERNATE_SCREEN) :]
        assert b"a widget failed" in after
        assert b"ticks went on: True its problem: None" in after
        assert b"stopped in peace: True None" in after


def test_with_no_color_there_are_no_colours() -> None:
    with terminal(run(), environment={"NO_COLOR": "1"}) as seen:
        output = seen.read_until(lambda output: b"browser-gpu" in output)
        codes = re.findall(rb"\x1b\[([0-9;]*)m", output)
        assert codes
        numbers = {number for code in codes for number in code.split(b";") if number}
        assert numbers <= {b"0", b"1", b"2", b"4", b"7", b"22", b"24", b"27", b"39", b"49"}
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


def test_what_is_typed_right_behind_a_line_belongs_to_what_it_opens() -> None:
    with terminal(run()) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        for typed, sight in (
            (b":pl\r:queues\r", "overview > queues"),
            (b":queues\rq:pools\r", "overview > pools"),
            (b":\r:pools\r", "overview > pools"),
            (b":que\x1b:pools\r", "overview > pools"),
            (b"/etl\x1b:queues\r", "overview > queues"),
            (b":queues\r\x1bt", "overview > pool "),
            (b"/etl\r:tenants\r", "overview > tenants"),
            (b"?\x1b:pools\r", "overview > pools"),
            # enter, typed before the terminal is ours
            (b":tenants\n", "overview > tenants"),
        ):
            seen.type(typed)
            seen.read_until(lambda output, sight=sight: sight in shown(output))
            seen.type(b"q")
            seen.read_until(lambda output: "overview > " not in shown(output))
        seen.type(b"\x03\x03")
        assert seen.finish() == 0


def test_it_works_on_a_simple_terminal() -> None:
    environment = {"TERM": "vt100", "COLORTERM": ""}
    with terminal(run(), size=(160, 45), environment=environment) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        seen.type(b"qq")
        assert seen.finish() == 0
        # it is not known to keep the colour of what is erased
        assert not ERASED.search(seen.output)
        assert b" " * 20 in seen.output


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


# -- attached: no engine runs here -----------------------------------------------------------

ATTACH = """
import sys
from agentdash.cli import main
sys.exit(main(["attach", "--nats", "nats://127.0.0.1:{port}"]))
"""


@contextmanager
def greeting_server(greeting: bytes) -> Iterator[int]:
    """The port of a server that greets each client so, and then says nothing."""

    class Greets(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(greeting)
            while self.request.recv(4096):
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greets) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_an_attached_dashboard_says_that_it_waits_for_the_controllers_snapshot() -> None:
    with greeting_server(b"") as port, terminal(ATTACH.format(port=port)) as seen:
        seen.read_until(lambda output: "waiting for the controller's snapshot" in shown(output))
        assert "Deployments are read" not in shown(seen.output)


def test_a_nats_server_that_is_too_old_is_no_engine_that_has_stopped() -> None:
    info = {"server_id": "x", "version": "2.9.10", "max_payload": 1048576, "jetstream": True}
    greeting = f"INFO {json.dumps(info)}\r\n".encode()
    with greeting_server(greeting) as port, terminal(ATTACH.format(port=port)) as seen:
        seen.read_until(lambda output: "2.9.10 is too old" in shown(output))
        text = shown(seen.output)
        assert "the controller runs elsewhere and cannot be seen from here" in text
        assert "engine" not in text
        seen.type(b"qq")
        assert seen.finish() == ExitCode.UNREACHABLE
