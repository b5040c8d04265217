"""Keys without effect are named on standard error; the answer itself is complete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentdash.cli import main
from controller.exit_codes import ExitCode
from unit.verbs.worlds import NOW, pool, tick, write

MODELS = "models: {gpt-large: {limits: {parallel: 4}}, gpt-mini: {limits: {parallel: 4}}}\n"


@pytest.mark.parametrize("verb", [("plan",), ("why", "acme/research")])
def test_each_key_without_effect_has_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: tuple[str, ...]
) -> None:
    fleet, ticks = write(tmp_path, tick(pools={"acme/research": pool(NOW, 2, pending=8)}))
    Path(fleet).write_text(Path(fleet).read_text("utf-8") + MODELS, "utf-8")
    name, *pools = verb
    code = main([name, "-f", fleet, *pools, "--observations", ticks, "--json"])
    said = capsys.readouterr()
    assert code == ExitCode.OK
    assert json.loads(said.out)["pools"][0]["next"] == 4
    first, second = said.err.splitlines()[:2]
    nothing = "limits have no effect: no pool uses this model"
    assert first == f"agentdash: {fleet}:15:22: models.gpt-large.{nothing}"
    assert second == f"agentdash: {fleet}:15:57: models.gpt-mini.{nothing}"
