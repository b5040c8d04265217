"""What shells complete, and the scripts in the shells that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import agentdash
from agentdash.cli import main
from agentdash.completion import SHELLS
from tui.terminal import terminal
from unit.verbs.worlds import FLEET

ROOT = Path(agentdash.__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fleet.yaml").write_text(FLEET, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(folder: Path, *words: str) -> dict[str, str]:
    """What the last word can become, each with its help, as argcomplete asks for it."""
    line = " ".join(("agentdash", *words))
    command = f'exec {sys.executable} -m agentdash 8>"{folder}/offered" 9>/dev/null'
    asked = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    style = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SHELL": "zsh"}
    ended = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **asked, **style},
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == (b"", b"")
    lines = (folder / "offered").read_text().splitlines()
    return {word.strip(): text for word, _, text in (each.partition(":") for each in lines)}


def test_verbs_come_with_their_help(folder: Path) -> None:
    found = offered(folder, "p")
    assert set(found) == {"plan", "pin", "pause", "profile", "promises"}
    assert "spare" in found["pin"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("demo", "--he"), ["--headless", "--help"]),
        (("plan", "--obs"), ["--observations"]),
        (("--obs",), []),
        (("why", "acme/r"), ["acme/research"]),
        (("why", "acme/research", ""), ["acme/browser", "acme/research"]),
        (("pause", ""), ["acme", "acme/browser", "acme/research"]),
        (("pause", "--until", "2h", "a"), ["acme", "acme/browser", "acme/research"]),
        (("pause", "acme", ""), []),
        (("budget", ""), ["acme"]),
        (("schema", "f"), ["fleet"]),
        (("completion", "z"), ["zsh"]),
        (("--once", "po"), ["pods", "pools"]),
        (("demo", "--theme", "p"), ["paper"]),
        (("plan", "-f", "fl"), ["fleet.yaml"]),
        (("pause", "--why", ""), []),
        (("-f", "other.yaml", "why", ""), ["acme/browser", "acme/coder"]),
        (("why", "-f", "other.yaml", ""), ["acme/browser", "acme/coder"]),
        (("-f", "wrong.yaml", "why", ""), []),
        (("-f", "nowhere.yaml", "why", ""), []),
    ],
)
def test_values_fit_their_place(folder: Path, words: tuple[str, ...], expected: list[str]) -> None:
    (folder / "other.yaml").write_text(FLEET.replace("research", "coder"), "utf-8")
    (folder / "wrong.yaml").write_text("version: [", "utf-8")
    assert sorted(offered(folder, *words)) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_read_by_its_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    script = (
        "autoload -U compinit; compinit -u\n" if shell == "zsh" else ""
    ) + capsys.readouterr().out
    ended = subprocess.run([program, "-c", script], capture_output=True, timeout=50, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


INTERACTIVE = """
import os
os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
"""


def test_bash_completes_a_typed_line(folder: Path) -> None:
    """The whole way: an interactive shell, a tab, and the line that it makes of it."""
    (folder / "bin").mkdir()
    command = folder / "bin" / "agentdash"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m agentdash "$@"\n')
    command.chmod(0o755)
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "INPUTRC": os.devnull}
    with terminal(INTERACTIVE, environment=environment) as shell:
        shell.type(b"source <(agentdash completion bash); echo read=$((40 + 2))\n")
        shell.read_until(lambda output: b"read=42" in output)
        shell.type(b"agentdash why acme/b\t")
        shell.read_until(lambda output: b"agentdash why acme/browser" in output)
