"""The summary of how the cases were answered, at the end of a run that asked for them."""

from __future__ import annotations

import pytest

from conformance.cases import FOLDER, load, summary


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if any(
        "conformance" in report.nodeid
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
    ):
        terminalreporter.section("conformance")
        terminalreporter.write_line(summary(load(FOLDER)))
