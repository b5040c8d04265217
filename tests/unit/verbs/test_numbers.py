"""Numbers on the command line are ASCII decimals."""

from __future__ import annotations

import pytest

from agentdash.cli import main
from controller.exit_codes import ExitCode
from support.table import tabled

ARGUMENTS = (
    ("demo", "--for"),
    ("demo", "--load-for"),
    ("demo", "--speed"),
    ("demo", "--seed"),
)


@tabled("arguments", ARGUMENTS)
@tabled("written", ["٣", "1_0", " 5 ", "5\n", "²", "1e1", "0x5", "nan", "inf", ""])
def test_what_is_no_ascii_decimal_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], written: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, written])
    assert ended.value.code == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert f"argument {arguments[1]}: {written!r} is not a" in said.err


@tabled("port", ["٣٤", "94_64", " 9464", "9464 ", "-1", "65536", "", "+80"])
def test_a_port_is_an_ascii_decimal(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--listen", f"127.0.0.1:{port}", "plan"])
    assert ended.value.code == ExitCode.USAGE
    assert "is not HOST:PORT" in capsys.readouterr().err
