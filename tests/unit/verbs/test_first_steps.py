"""What somebody sees who has no terminal, no fleet file, or a slip of the finger."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from agentdash import output
from agentdash.cli import main
from agentdash.verbs.ticks import choose
from controller.exit_codes import ExitCode
from controller.model.fleet import Fleet
from controller.model.ids import pool_key
from support.world import make_pool
from unit.verbs.worlds import write


class Tty(io.StringIO):
    """A stream that says it is a terminal, and tells when something is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        count = super().write(text)
        self.written.set()
        return count


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, term: str) -> Tty:
    stream = Tty()
    monkeypatch.setattr("sys.stdin", Tty())
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", term)
    return stream


def test_without_a_terminal_the_dashboard_is_refused_and_the_daemon_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fleet, _ = write(tmp_path)
    assert main(["-f", fleet]) == ExitCode.UNREACHABLE
    said = capsys.readouterr().err
    assert "no dashboard: standard input is no terminal" in said
    assert "--controller-only" in said
    assert main(["demo"]) == ExitCode.UNREACHABLE
    assert "--headless" in capsys.readouterr().err


def test_what_is_wrong_with_a_server_or_a_file_is_said_before_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["attach", "--nats", "nats://127.0.0.1:9"]) == ExitCode.UNREACHABLE
    assert "127.0.0.1:9: nothing listens there" in capsys.readouterr().err
    for path, words in ((tmp_path / "none", "no such file"), (Path(__file__), "is no journal")):
        assert main(["--replay", str(path)]) == ExitCode.USAGE
        said = capsys.readouterr().err
        assert words in said
        assert "no dashboard" not in said
        assert main(["--replay", str(path), "--once", "pools"]) == ExitCode.USAGE
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(("term", "is_plain"), [("linux", True), ("vt100", True), ("xterm", False)])
def test_a_terminal_with_few_characters_gets_ascii(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], term: str, is_plain: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    assert main(["--once", "help"]) == ExitCode.OK
    assert capsys.readouterr().out.isascii() is is_plain


def test_a_terminal_of_which_nothing_is_known_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fleet, _ = write(tmp_path)
    stream = on_a_terminal(monkeypatch, "")
    assert main(["-f", fleet]) == ExitCode.UNREACHABLE
    assert "TERM is not set" in stream.getvalue()
    assert "--controller-only" in stream.getvalue()


def test_a_terminal_that_can_be_drawn_on_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch, "xterm-256color")
    assert output.why_no_dashboard({"TERM": "xterm-256color"}) is None


def test_without_a_fleet_file_the_demo_and_the_example_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "`agentdash demo`" in said
    assert "`agentdash example > fleet.yaml`" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dmeo", "agentdash: there is no verb 'dmeo', did you mean demo?; see agentdash --help"),
        ("promise", "agentdash: there is no verb 'promise', did you mean profile?; see agentdash"),
        ("dead lst", "agentdash dead: there is no verb 'lst', did you mean list?; see"),
        ("dead acme/x", "there is no verb 'acme/x'; write one of list, show, retry"),
        ("pause acme --until -2h", "--until needs a value behind it; one that begins with -"),
        ("--theme noir", "no theme 'noir'; there are agentdash, midnight, paper and colour-blind"),
        ("demo --hedless now", "agentdash demo: unknown: --hedless now; see agentdash demo --help"),
        ("schema flet", "WHAT is one of fleet, observation, plan, not 'flet', did you mean fleet"),
        ("pods acme", "there is no verb 'pods'; agentdash --once pods prints that view; see"),
        ("--once pots acme", "--once: no view 'pots"),
        ("tasks --state gone", "--state is one of running, waiting, ended, dead, not 'gone'; see"),
        ("simulate none.csv -f FLEET", "agentdash: none.csv: cannot be read: No such file"),
        ("simulate a.csv --html no/a.html -f FLEET", "--html no/a.html: there is no folder no"),
    ],
)
def test_a_mistyped_line_names_what_is_meant(
    line: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet.yaml"
    main(["example"])
    fleet.write_text(capsys.readouterr().out)
    try:
        code = main(line.replace("FLEET", str(fleet)).split())
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_a_pool_is_found_without_its_tenant_where_it_is_the_only_one() -> None:
    research = make_pool("research")
    other = replace(make_pool("browser"), key=pool_key("globex", "browser"), tenant="globex")
    fleet = Fleet(pools=(research, make_pool("browser"), other))
    assert choose(fleet, ["research"]) == ([research], [])
    assert choose(fleet, ["research", research.key]) == ([research], [])
    assert choose(fleet, ["browser"]) == ([], ["browser can be acme/browser, globex/browser"])


def test_what_takes_long_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = on_a_terminal(monkeypatch, "xterm")
    with output.waiting_for("NATS", after_s=0):
        assert stream.written.wait(10)
    assert stream.getvalue() == "agentdash: waiting for NATS ...\n"


def test_what_is_done_in_time_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = on_a_terminal(monkeypatch, "xterm")
    with output.waiting_for("NATS", after_s=60):
        pass
    assert stream.getvalue() == ""


def test_the_demo_without_its_packages_names_the_extra() -> None:
    code = (
        "import importlib.util as util, sys; find = util.find_spec\n"
        "util.find_spec = lambda name, *of: None if name == 'openai' else find(name, *of)\n"
        "from agentdash.cli import main; sys.exit(main(['demo', '--headless', '--for', '1s']))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert ran.returncode == ExitCode.UNREACHABLE
    assert "pip install 'agentdash-fleet[demo]'" in ran.stderr
    assert "Traceback" not in ran.stderr
