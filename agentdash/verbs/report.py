"""`agentdash report`: what a journal says of sizes, capacity, money, and other autoscalers."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec

from agentdash.output import note, refusal, tell, waiting_for
from agentdash.verbs.tables import aligned
from controller.engine.supervise import SystemClock
from controller.exit_codes import ExitCode
from controller.model.clock import time_words
from controller.model.text import clean
from controller.record.chain import snapshots_of
from controller.record.frames import OtherVersionError
from controller.record.journal import earlier_files, in_words
from controller.report.page import PageSection, PageTable, markdown, page
from controller.report.past import Cell, Past, Report, ReportKind, as_json, report


def show_report(options: Namespace) -> ExitCode:
    """Print the report of a journal, or write it as a page."""
    past = Past()
    since = 0.0 if options.since is None else SystemClock().now() - options.since
    try:
        with waiting_for(f"{clean(options.journal)} to be read"):
            past.add_all(snapshots_of(_lines(options.journal)), since)
    except OSError as error:
        path = Path(options.journal)
        raise refusal(in_words(error, path), ExitCode.USAGE) from None
    except OtherVersionError as error:
        raise refusal(f"{clean(options.journal)}: {error}", ExitCode.USAGE) from None
    if not past.known_s:
        words = f"{clean(options.journal)}: no two snapshots of that time follow each other"
        raise refusal(f"{words}; is it a journal?", ExitCode.USAGE)
    _print(report(ReportKind(options.of), past), past, options)
    return ExitCode.OK


def _lines(source: str) -> Iterator[bytes]:
    """The lines of a journal, those of its earlier files first; `-` is standard input."""
    if source == "-":
        yield from sys.stdin.buffer
        return
    path = Path(source).expanduser()
    for file in chain(earlier_files(path), [path]):
        with file.open("rb") as opened:
            yield from opened


def _print(made: Report, past: Past, options: Namespace) -> None:
    period = f"{time_words(past.begin, 0.0)} to {time_words(past.end, past.begin)}"
    cells = [tuple(map(_cell, made.head, row)) for row in made.rows]
    table = PageTable(made.head, cells)
    if options.html is not None:
        unknown = (f"Not known: {each}." for each in made.unknown)
        parts: list[str | PageTable] = [f"{period}.", table, *unknown]
        title = f"agentdash report {options.of}"
        options.html.write_text(page(title, [PageSection(made.title, parts)]), "utf-8")
        note(f"{options.html} is written")
    if options.as_json:
        tell(msgspec.json.encode({"from": past.begin, "to": past.end, **as_json(made)}).decode())
        return
    if options.markdown:
        tell(f"## {made.title}\n\n{period}.\n\n{markdown(table)}\n")
    else:
        right = frozenset(range(1, len(made.head)))
        tell("\n".join((f"{made.title}, {period}", *aligned([made.head, *cells], right))))
    for each in made.unknown:
        tell(f"not known: {clean(each)}")


def _cell(title: str, value: Cell) -> str:
    match value:
        case None:
            return "?"
        case str():
            return clean(value)
        case _ if title == "SINCE":
            return time_words(value, 0.0)
        case int():
            return f"{value:,}"
        case _:
            return f"{value:,.4f}" if title == "USD" else f"{value:,.2f}"
