"""The terminal after the dashboard: ended by a signal, by a crash, by kill -9, by a lost line."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from support.table import tabled
from tui.recording import screen_of
from tui.terminal import TIMEOUT_S, Terminal, terminal
from tui.test_terminal import FAIL, LEFT_ALTERNATE_SCREEN, SHELL, SHOWN_CURSOR, run

ON_READY = "lambda: sys.__stdout__.write('<<READY>>') and sys.__stdout__.flush()"
MODES_ON = (b"1000h", b"1003h", b"1006h", b"2004h")
"""The mouse and the paste of a terminal, as the dashboard switches them on."""


def is_cooked(seen: Terminal) -> bool:
    """Whether the terminal shows what is typed and handles lines, as a shell expects it."""
    local = termios.tcgetattr(seen.master)[3]
    return bool(local & termios.ECHO and local & termios.ICANON and local & termios.ISIG)


def is_given_back(seen: Terminal) -> bool:
    """Whether everything that was switched on is off again."""
    output = seen.output
    left = output.rindex(LEFT_ALTERNATE_SCREEN)
    on = [mode for mode in MODES_ON if b"\x1b[?" + mode in output]
    off = [b"\x1b[?" + mode[:-1] + b"l" for mode in on]
    return bool(
        is_cooked(seen)
        and SHOWN_CURSOR in output[max(left - 200, 0) :]
        and on
        and all(output.rindex(each) > output.rindex(each[:-1] + b"h") for each in off)
    )


@tabled("number", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])
def test_a_signal_ends_it_and_gives_the_terminal_back(number: str) -> None:
    with terminal(run(on_ready=ON_READY)) as seen:
        seen.read_until(lambda output: b"<<READY>>" in output)
        assert not is_cooked(seen)
        seen.process.send_signal(signal.Signals[number])
        assert seen.finish() == 0
        assert is_given_back(seen)


def test_a_crash_gives_the_terminal_back() -> None:
    with terminal(FAIL) as seen:
        assert seen.finish() == 1
        assert is_given_back(seen)


CONTROLLING = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"


DRAWS_MUCH = """
import asyncio
from textual._context import active_app
def busy():
    loop, app = asyncio.get_running_loop(), active_app.get()
    def draw():
        app.action_redraw()
        loop.call_later(0.001, draw)
    draw()
"""
# draws faster than a terminal takes it, so that much waits to be written when the line is lost
BUSY = "lambda: sys.__stdout__.write('<<READY>>') and sys.__stdout__.flush() or busy()"


@tabled(
    ("hung_up", "is_busy"), [(CONTROLLING, False), ("", True)], ids=["with SIGHUP", "without, busy"]
)
def test_it_ends_when_the_line_is_lost(hung_up: str, is_busy: bool) -> None:
    """Without a controlling terminal, as behind `docker exec`, no signal tells of it."""
    program = run(on_ready=BUSY if is_busy else ON_READY)
    with terminal(hung_up + DRAWS_MUCH + program) as seen:
        seen.read_until(lambda output: b"<<READY>>" in output)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), seen.master)  # closes the terminal, as a lost connection does
        # Python's own 120: nothing can be written to standard output any longer
        assert seen.process.wait(TIMEOUT_S) in {0, 120}


def test_after_kill_9_the_shell_still_shows_and_runs_what_is_typed(tmp_path: Path) -> None:
    """The alternate screen and the mouse stay on: nobody is left to switch them off but `reset`."""
    program = tmp_path / "run.py"
    program.write_text(f"import os; os.write(2, b'pid=%d.' % os.getpid())\n{run()}")
    with terminal(SHELL) as seen:
        seen.type(f"{sys.executable} {program}\r".encode())
        seen.read_until(lambda output: b"browser-gpu" in output)
        found = re.search(rb"pid=(\d+)\.", seen.output)
        assert found is not None
        os.kill(int(found[1]), signal.SIGKILL)
        seen.read_until(lambda output: b"Killed" in output)
        seen.type(b"stty -a | grep -o ' echo ' | wc -l; echo sum=$((40 + 2))\r")
        seen.read_until(lambda output: b"sum=42" in output)
        assert b"1\r\nsum=42" in seen.output
        assert LEFT_ALTERNATE_SCREEN not in seen.output


def shown(output: bytes) -> list[str]:
    screen, stream = screen_of((100, 30))
    stream.feed(output.decode("utf-8", "replace"))
    return list(screen.display)


def is_whole(output: bytes) -> bool:
    """Whether the first and the last line of the overview are on the screen, with the cursor."""
    lines = shown(output)
    return "prod-eu1" in lines[0] and "overview   globex" in lines[-1]


def repainted(seen: Terminal) -> list[str]:
    """What the terminal shows after everything that came before is answered."""
    for keys, answer in ((b":storm-is-over\r", b"no command"), (b"\x1b", b"cmd")):
        seen.output = b""
        seen.type(keys)
        seen.read_until(lambda output, answer=answer: answer in output)
    seen.output = b""
    seen.type(b"\x0c")
    seen.read_until(is_whole)
    return drawn(seen)


# a mark at a signal, behind all that was written before: a frame's last cells may stand anywhere
MARK_WHEN_ASKED = (
    "lambda: __import__('asyncio').get_running_loop().add_signal_handler("
    "__import__('signal').SIGUSR1, active_app.get().write_raw, '<<DRAWN>>')"
)


def drawn(seen: Terminal) -> list[str]:
    """What stands behind the frame that has begun to come."""
    seen.process.send_signal(signal.SIGUSR1)
    output = seen.read_until(lambda output: b"<<DRAWN>>" in output)
    return shown(output[: output.index(b"<<DRAWN>>")])


def drawn_at(height: int) -> Callable[[bytes], bool]:
    """Whether the last line of the overview was drawn where a terminal of this height has it."""
    screen, stream = screen_of((200, 60))
    fed = 0

    def is_drawn(output: bytes) -> bool:
        nonlocal fed
        stream.feed(output[fed:].decode("utf-8", "replace"))
        fed = len(output)
        return "overview   globex" in screen.display[height - 1]

    return is_drawn


def without_widths(lines: list[str]) -> list[str]:
    """What they say: a column stays as wide as the longest value that it has shown, and what is
    beside it is cut earlier.
    """
    return [re.sub(" +", " ", re.sub(r"\S*…", "…", line)) for line in lines]


def test_after_a_storm_of_sizes_the_screen_is_that_of_a_new_dashboard() -> None:
    program = run(on_ready=MARK_WHEN_ASKED)
    with terminal(program) as fresh:
        fresh.read_until(is_whole)
        expected = without_widths(repainted(fresh))
    choose = random.Random(7)
    with terminal(program, size=(120, 36)) as seen:
        seen.read_until(lambda output: b"browser-gpu" in output)
        for _ in range(200):
            seen.resize(choose.choice((20, 59, 60, 80, 139, 200)), choose.choice((5, 14, 15, 60)))
        seen.resize(100, 30)
        seen.read_until(drawn_at(30))  # a key that comes before is not heard where it was too small
        assert without_widths(repainted(seen)) == expected
        seen.type(b"qq")
        assert seen.finish() == 0
