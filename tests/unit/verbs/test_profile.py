"""The profile that `agentdash profile` suggests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentdash.cli import main
from agentdash.verbs.worker import suggested
from support.table import tabled


@tabled(
    ("tools", "profile", "why"),
    [
        ([], "lightweight", "text only"),
        (["search", "send_mail"], "lightweight", "text only"),
        (["search", "git", "read_file"], "standard", "git or files: git, read_file"),
        (["git", "mcp__playwright__click"], "compute", "browser or build tools: "),
        (["Docker-Build"], "compute", "browser or build tools: Docker-Build"),
        (["rebuilding", "widget"], "lightweight", "text only"),
    ],
)
def test_the_heaviest_tool_decides(tools: list[str], profile: str, why: str) -> None:
    found = suggested(tools)
    assert found[0] == profile
    assert found[1].startswith(why)


def test_the_line_can_be_pasted_into_a_fleet_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "git", "bash"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("profile: standard  # git or files: git, bash; requests 500m and 1Gi, ")
    assert line.count("\n") == 1


def test_tools_of_which_nothing_is_known_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "git", "web_search", "browsr", "mcp__cad__render"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("profile: standard  # git or files: git; ")
    assert "nothing is known of browsr, mcp__cad__render: taken for text only" in err
    assert main(["profile", "git", "web_search"]) == 0
    assert not capsys.readouterr().err


AGENTS = """\
from agentdash.worker import uses_tools


@uses_tools("search", "playwright")
async def browses(task, session):
    return None


@uses_tools()
async def talks(task, session):
    return None


async def silent(task, session):
    return None
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "agents_of_this_test"
    (tmp_path / f"{name}.py").write_text(AGENTS, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


def test_an_agent_stands_for_the_tools_that_it_declares(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", f"{module}:browses"]) == 0
    assert "profile: compute  # browser or build tools: playwright;" in capsys.readouterr().out
    assert main(["profile", f"{module}:talks"]) == 0
    assert "profile: lightweight  # text only;" in capsys.readouterr().out
    assert main(["profile", f"{module}:talks", "git"]) == 0
    assert "profile: standard  # git or files: git;" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("silent", "does not declare its tools: write @agentdash.worker.uses_tools"),
        ("gone", "has no gone"),
    ],
)
def test_an_agent_that_says_nothing_of_its_tools_is_no_guess(
    module: str, function: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", f"{module}:{function}"]) == 2
    assert said in capsys.readouterr().err
