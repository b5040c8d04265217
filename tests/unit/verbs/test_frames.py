"""How many frames are drawn over SSH."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from agentdash.output import draw_less_over_ssh

SSH = {"SSH_CONNECTION": "192.0.2.9 52144 192.0.2.1 22"}
ASK = """
import os
from agentdash.output import draw_less_over_ssh
draw_less_over_ssh(os.environ)
from agentdash.tui import app
from textual import constants
print(constants.MAX_FPS)
"""


@pytest.mark.parametrize(
    ("environment", "frames"),
    [({}, None), (SSH, "20"), ({**SSH, "TEXTUAL_FPS": "7"}, "7"), ({"TEXTUAL_FPS": "7"}, "7")],
)
def test_less_is_drawn_over_ssh_unless_a_person_chose_a_rate(
    environment: dict[str, str], frames: str | None
) -> None:
    given = dict(environment)
    draw_less_over_ssh(given)
    assert given.get("TEXTUAL_FPS") == frames


def test_textual_takes_the_rate() -> None:
    plain = {key: value for key, value in os.environ.items() if key != "TEXTUAL_FPS"}
    said = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**plain, **SSH},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "20"
