"""What a shell is offered, and the scripts in the shells that are here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import agentdash
from agentdash.cli import main
from agentdash.completion import ASK, FILES, SCRIPTS
from tui.terminal import terminal
from unit.verbs.worlds import FLEET

ROOT = Path(agentdash.__file__).parents[1]
SHELLS = {
    "bash": """
source <(agentdash completion bash)
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
compopt() {{ local IFS=' '; echo "compopt $*"; }}
_agentdash
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """
compdef() {{ }}
_files() {{ print -r -- files }}
_describe() {{ print -rl -- "${{(@P)2}}" }}
source <(agentdash completion zsh)
words=({words}); CURRENT=${{#words}}
_agentdash
""",
    "fish": """
agentdash completion fish | source
complete -C '{line}'
""",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fleet.yaml").write_text(FLEET, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main([ASK, *words]) == 0
    return [line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()]


def helps(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    assert main([ASK, *words]) == 0
    parts = (line.partition("\t") for line in capsys.readouterr().out.splitlines())
    return {word: text for word, _, text in parts}


def test_verbs_come_with_their_help(capsys: pytest.CaptureFixture[str]) -> None:
    found = helps(capsys, "p")
    assert set(found) == {"plan", "pin", "pause", "profile", "promises"}
    assert all(found.values())


def test_options_are_those_of_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--observations" in offered(capsys, "plan", "--")
    assert "--observations" not in offered(capsys, "--")
    assert offered(capsys, "demo", "--he") == ["--help", "--headless"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("why", "acme/r"), ["acme/research"]),
        (("why", "acme/research", ""), ["acme/research", "acme/browser"]),
        (("pause", ""), ["acme", "acme/research", "acme/browser"]),
        (("pause", "--until", "2h", "a"), ["acme", "acme/research", "acme/browser"]),
        (("pause", "acme", ""), []),
        (("budget", ""), ["acme"]),
        (("schema", "f"), ["fleet"]),
        (("completion", "z"), ["zsh"]),
        (("--once", "po"), ["pods", "pools"]),
        (("--once=po",), ["pods", "pools"]),
        (("demo", "--theme", "p"), ["paper"]),
        (("plan", "-f", ""), [FILES]),
        (("--fleet=",), [FILES]),
        (("pause", "--why", ""), []),
        (("nosuchverb", ""), None),
    ],
)
def test_values_fit_their_place(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: list[str]
) -> None:
    found = offered(capsys, *words)
    assert found == expected if expected is not None else "demo" in found


@pytest.mark.parametrize("option", [("-f", "other.yaml"), ("--fleet=other.yaml",)])
def test_pools_are_those_of_the_fleet_file_that_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, ...]
) -> None:
    (folder / "other.yaml").write_text(FLEET.replace("research", "coder"), "utf-8")
    assert offered(capsys, *option, "why", "") == ["acme/coder", "acme/browser"]
    assert offered(capsys, "why", *option, "") == ["acme/coder", "acme/browser"]


def test_a_wrong_or_missing_fleet_file_offers_nothing_and_says_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "fleet.yaml").write_text("version: [", "utf-8")
    for words in (["why", ""], ["-f", "nowhere.yaml", "why", ""]):
        assert main([ASK, *words]) == 0
        captured = capsys.readouterr()
        assert (captured.out, captured.err) == ("", "")


def run_in(shell: str, folder: Path, *words: str) -> list[str]:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    commands = folder / "bin"
    commands.mkdir(exist_ok=True)
    command = commands / "agentdash"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m agentdash "$@"\n')
    command.chmod(0o755)
    quoted = " ".join(f"'{word}'" for word in ("agentdash", *words))
    script = SHELLS[shell].format(words=quoted, line=" ".join(("agentdash", *words)))
    ended = subprocess.run(
        [program, "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.stderr == ""
    return [re.split(r"[\t:]", line)[0] for line in ended.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_completes_in_its_shell(shell: str, folder: Path) -> None:
    assert run_in(shell, folder, "why", "acme/r") == ["acme/research"]
    assert set(run_in(shell, folder, "p")) == {"plan", "pin", "pause", "profile", "promises"}
    assert run_in(shell, folder, "pause", "acme", "--dry") == ["--dry-run"]


def test_bash_completes_paths_where_a_file_is_meant(folder: Path) -> None:
    assert run_in("bash", folder, "plan", "-f", "") == ["compopt -o default"]


INTERACTIVE = """
import os
os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
"""


def test_bash_completes_a_typed_line(folder: Path) -> None:
    """The whole way: an interactive shell, a tab, and the line that it makes of it."""
    assert run_in("bash", folder, "why", "acme/b") == ["acme/browser"]  # makes the command
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "INPUTRC": os.devnull}
    with terminal(INTERACTIVE, environment=environment) as shell:
        shell.type(b"source <(agentdash completion bash); echo read=$((40 + 2))\n")
        shell.read_until(lambda output: b"read=42" in output)
        shell.type(b"agentdash why acme/b\t")
        shell.read_until(lambda output: b"agentdash why acme/browser" in output)
