"""Input or output that fails ends with a message and an exit code, never with a traceback."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from agentdash import output
from agentdash.cli import main
from controller.exit_codes import ExitCode
from unit.verbs.worlds import NOW, pool, tick, write

VERBS = [
    ("--help",),
    ("--version",),
    ("plan", "--help"),
    ("schema", "fleet"),
    ("schema", "plan"),
    ("example",),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_closed_standard_output_is_reported_with_exit_code_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert main(verb) == ExitCode.UNREACHABLE
    assert capsys.readouterr().err == (
        "agentdash: standard output cannot be written: it is closed\n"
    )


def test_a_closed_standard_input_is_reported_with_exit_code_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fleet, _ = write(tmp_path)
    monkeypatch.setattr("sys.stdin", None)
    assert main(["plan", "-f", fleet, "--observations", "-"]) == ExitCode.UNREACHABLE
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "agentdash: standard input cannot be read: it is closed\n",
    )


def test_a_standard_input_that_fails_is_reported_with_exit_code_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: object) -> int:
            raise OSError(5, "Input/output error")

    fleet, _ = write(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Failing())))
    assert main(["plan", "-f", fleet, "--observations", "-"]) == ExitCode.UNREACHABLE
    assert "standard input cannot be read: Input/output error" in capsys.readouterr().err


def test_without_a_standard_error_only_the_exit_code_tells(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text("version: 1\npols: []\n", "utf-8")
    monkeypatch.setattr("sys.stderr", None)
    assert main(["plan", "-f", str(tmp_path / "fleet.yaml")]) == ExitCode.USAGE
    assert capsys.readouterr().out == ""  # a message never lands among the results


def test_characters_that_a_terminal_lacks_are_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    fleet, ticks = write(tmp_path, tick(pools={"acme/research": pool(NOW, 2, pending=8)}))
    assert main(["plan", "-f", fleet, "--observations", ticks]) == ExitCode.OK
    assert b"2?4" in written.getvalue()


def test_a_stream_that_this_process_has_closed_gives_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stdout", closed)
    with pytest.raises(output.OutputError, match="I/O operation on closed file"):
        output.tell("text")
    monkeypatch.setattr("sys.stderr", closed)
    output.complain("text")
