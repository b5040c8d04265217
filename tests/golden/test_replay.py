"""Every recorded tick replays to the plan that was recorded of it, whatever the hash seed.

Where it does not, the planner's behaviour has changed. If that is intended, record anew with
`PYTHONPATH=.:tests python -m golden.replay`, look at the difference, and say in the changelog what
it means for users.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.model.decision import Code
from golden.replay import FOLDER, names, recorded, replayed
from support.reports import decode_report

ROOT = Path(__file__).parents[2]
# prints a digest of every plan of every recording
DIGEST = """
import hashlib
from golden.replay import names, recorded, replayed
text = "".join(line for name in names() for line in replayed(*recorded(name)[:2]))
print(hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.mark.parametrize("name", names())
def test_recorded_ticks_replay_to_the_identical_plans(name: str) -> None:
    fleet, ticks, plans = recorded(name)
    for number, (then, now) in enumerate(zip(plans, replayed(fleet, ticks), strict=True), start=1):
        assert now == then, f"{name}, tick {number}: see this module's docstring"


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_no_hash_seed_changes_a_plan(seed: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env=os.environ
        | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    here = "".join(line for name in names() for line in replayed(*recorded(name)[:2]))
    assert ran.stdout.strip() == hashlib.sha256(here.encode()).hexdigest()


def test_the_recordings_show_much_of_what_a_plan_can_say() -> None:
    said = {
        reason.code
        for file in FOLDER.glob("*.plans.jsonl")
        for line in file.read_text("utf-8").splitlines()
        for pool in decode_report(line).pools
        for reason in pool.reasons
    }
    assert len(said) >= 30, sorted(set(Code) - said)
