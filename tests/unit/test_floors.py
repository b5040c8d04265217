"""The floors hold, and what watches them would notice if they did not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")

BREACHES = {
    "controller/planning/planner.py": ("import asyncio", "Planning speaks to nobody"),
    "controller/engine/loop.py": ("import controller.nats.session", "siblings do not know each"),
    "controller/model/value.py": ("import controller.config", "floors below it"),
    "controller/kube/writes.py": ("import agentdash.tui.app", "does not know who shows it"),
    "agentdash/demo/agents.py": ("import controller.model.ids", "stands on its own"),
    "agentdash/tui/view.py": ("import controller.engine.supervise", "never the machinery"),
    "agentdash/worker/lifecycle.py": (
        "import agentdash.demo.agents",
        "what people run imports only",
    ),
    "agentdash/worker/stores.py": ("import controller.ports", "share the controller's values"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINTER, "--no-cache", "--config", folder / "pyproject.toml"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "", "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    for package in ("agentdash", "controller", "styles"):
        shutil.copytree(ROOT / package, folder / package)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_contracts_hold(house: Path) -> None:
    result = lint(house)
    assert result.returncode == 0, result.stdout


def test_workers_are_kept_from_every_room_of_the_controller_but_the_values() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    [contract] = [each for each in contracts if each["name"].startswith("Workers share")]
    forbidden = {name for name in contract["forbidden_modules"] if name.startswith("controller")}
    inside = [path for path in (ROOT / "controller").iterdir() if path.suffix != ".typed"]
    rooms = {path.stem for path in inside if path.stem[0] != "_"}
    assert forbidden == {f"controller.{room}" for room in rooms - {"model"}}


@pytest.mark.parametrize("place", BREACHES)
def test_a_planted_breach_is_found_by_name(house: Path, place: str) -> None:
    line, contract = BREACHES[place]
    file = house / place
    before = file.read_text("utf-8")
    file.write_text(before.replace("\nimport ", f"\n{line}\nimport ", 1), "utf-8")
    if file.read_text("utf-8") == before:
        file.write_text(before.replace("\nfrom ", f"\n{line}\nfrom ", 1), "utf-8")
    try:
        result = lint(house)
    finally:
        file.write_text(before, "utf-8")
    assert result.returncode == 1
    broken = [row for row in result.stdout.splitlines() if " BROKEN" in row]
    assert any(contract in row for row in broken), result.stdout
