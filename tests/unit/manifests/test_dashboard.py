"""What `agentdash manifests --dashboard` prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from agentdash.cli import main


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["manifests", "--dashboard"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_panels_are_side_by_side_and_none_covers_another(printed: dict[str, Any]) -> None:
    panels = printed["panels"]
    assert len({each["id"] for each in panels}) == len(panels) > 8
    places = [each["gridPos"] for each in panels]
    assert all(each["x"] + each["w"] <= 24 for each in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"]


def test_what_the_panels_ask_with_is_what_a_person_can_choose(printed: dict[str, Any]) -> None:
    variables = {each["name"] for each in printed["templating"]["list"]}
    assert len(variables) == len(printed["templating"]["list"])
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(printed["panels"])))
    assert used == variables
    assert {each["datasource"]["uid"] for each in printed["panels"]} == {"${datasource}"}


def test_prometheus_takes_every_query(printed: dict[str, Any], tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool (apt-get install prometheus)")
    queries = [each["expr"] for panel in printed["panels"] for each in panel["targets"]]
    asked = [each.replace("$__rate_interval", "1m") for each in queries]
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(asked)]
    path = tmp_path / "queries.json"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
