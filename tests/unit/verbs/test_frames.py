"""How many frames are drawn over SSH, and in how many colours on simple terminals."""

from __future__ import annotations

import os
import subprocess
import sys

from agentdash.output import fit_terminal
from support.table import tabled

SSH = {"SSH_CONNECTION": "192.0.2.9 52144 192.0.2.1 22"}
ASK = """
import os
from agentdash.output import fit_terminal
fit_terminal(os.environ)
from agentdash.tui import app
from textual import constants
print(constants.MAX_FPS, constants.COLOR_SYSTEM)
"""


@tabled(
    ("environment", "frames"),
    [({}, None), (SSH, "20"), ({**SSH, "TEXTUAL_FPS": "7"}, "7"), ({"TEXTUAL_FPS": "7"}, "7")],
)
def test_less_is_drawn_over_ssh_unless_a_person_chose_a_rate(
    environment: dict[str, str], frames: str | None
) -> None:
    given = dict(environment)
    fit_terminal(given)
    assert given.get("TEXTUAL_FPS") == frames


@tabled("term", ["linux", "vt100", "dumb"])
def test_a_simple_terminal_gets_16_colours_unless_a_person_chose_more(term: str) -> None:
    given = {"TERM": term, "COLORTERM": "truecolor"}
    fit_terminal(given)
    assert given["TEXTUAL_COLOR_SYSTEM"] == "standard"
    chosen = {"TERM": term, "TEXTUAL_COLOR_SYSTEM": "256"}
    fit_terminal(chosen)
    assert chosen["TEXTUAL_COLOR_SYSTEM"] == "256"


def test_textual_takes_the_rate_and_the_colours() -> None:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("TEXTUAL_")}
    said = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**plain, **SSH, "TERM": "linux", "COLORTERM": "truecolor"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["20", "standard"]
