"""What a journal says: `agentdash report`, and `agentdash whatif` under a changed fleet file."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from agentdash.output import note, refusal, tell, waiting_for
from agentdash.verbs.tables import aligned
from controller.config import FleetFileError, load, parse
from controller.config.document import Document, KeyPath, read
from controller.engine.supervise import SystemClock
from controller.exit_codes import ExitCode
from controller.model.clock import time_words
from controller.model.ids import PoolKey
from controller.model.text import clean, quote
from controller.record.chain import in_words, snapshots_of
from controller.record.frames import OtherVersionError
from controller.record.journal import earlier_files
from controller.report.page import PageSection, PageTable, markdown, page
from controller.report.past import Cell, JournalReport, JournalSums, ReportKind, as_json, report
from controller.simulate.whatif import PoolWhatIf, WhatIf


def show_report(options: Namespace) -> ExitCode:
    """Print the report of a journal, or write it as a page."""
    past = JournalSums()
    _read_journal(past, options)
    _print(report(ReportKind(options.of), past), past, options)
    return ExitCode.OK


def _read_journal(into: JournalSums | WhatIf, options: Namespace) -> None:
    """Add the snapshots of a journal, those since `--since`. Raises ToldError."""
    name = clean(options.journal)
    since = 0.0 if options.since is None else SystemClock().now() - options.since
    try:
        with waiting_for(f"{name} to be read"):
            into.add_all(snapshots_of(_lines_of(options.journal)), since)
    except OSError as error:
        raise refusal(in_words(error, Path(options.journal)), ExitCode.USAGE) from None
    except OtherVersionError as error:
        raise refusal(f"{name}: {error}", ExitCode.USAGE) from None
    if not into.known_s:
        words = f"{name}: no two snapshots of that time follow each other; is it a journal?"
        raise refusal(words, ExitCode.USAGE)


def _lines_of(source: str) -> Iterator[bytes]:
    """The lines of a journal, those of its earlier files first; `-` is standard input."""
    if source == "-":
        yield from sys.stdin.buffer
        return
    path = Path(source).expanduser()
    for file in chain(earlier_files(path), [path]):
        with file.open("rb") as opened:
            yield from opened


def _print(made: JournalReport, past: JournalSums, options: Namespace) -> None:
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


# what if

_HEAD: Final = (
    *("POOL", "DIFFERS", "TARGET-H", "THEN", "P95 WAIT", "THEN", "REPLICA-H", "THEN"),
    "FIRST DIFFERENCE",
)


def what_if(options: Namespace) -> ExitCode:
    """Print how the past would have been planned, and the lines of the fleet file to change."""
    name = clean(options.fleet)
    try:
        before = load(options.fleet)
        document = read(options.fleet.expanduser().read_text("utf-8"), name)
        data: Any = json.loads(json.dumps(document.data))
        edits = [_changed(data, document, each) for each in options.changes]
        after = parse(json.dumps(data), f"{name} with --set")
    except FleetFileError as error:
        raise refusal(error, ExitCode.USAGE) from None
    found = WhatIf(before.fleet, after.fleet)
    _read_journal(found, options)
    pools = dict(found.pools())
    if options.as_json:
        rows = {key: _as_data(each) for key, each in pools.items()}
        tell(msgspec.json.encode({"version": 1, "pools": rows, "to_change": edits}).decode())
        return ExitCode.OK
    _print_what_if(found, pools, options)
    tell("\n".join(("to apply it, change:", *(f"  {edit}" for edit in edits))))
    return ExitCode.OK


def _as_data(each: PoolWhatIf) -> dict[str, Any]:
    scores = {name: getattr(each, name) for name in ("before", "after")}
    return {
        **each._asdict(),
        "differences": [one._asdict() for one in each.differences],
        **{name: None if one is None else one._asdict() for name, one in scores.items()},
    }


def _changed(data: Any, document: Document, written: str) -> str:
    """Make one change in the data; returns where the file has it. Raises ToldError."""
    path_text, equals, value = written.partition("=")
    if not equals:
        words = f"--set {quote(written)}: write PATH=VALUE, as pools.acme/research.replicas.max=40"
        raise refusal(words, ExitCode.USAGE)
    try:
        new = yaml.safe_load(value)
    except yaml.YAMLError:
        raise refusal(f"--set {quote(written)}: the value is not YAML", ExitCode.USAGE) from None
    *outer, last = path_text.split(".")
    at: list[str | int] = []
    for key in outer:
        step: str | int = key
        if at == ["pools"]:
            keys = [f"{pool.get('tenant')}/{pool.get('name')}" for pool in data]
            if key not in keys:
                raise refusal(f"--set: there is no pool {quote(key)}", ExitCode.USAGE)
            step = keys.index(key)
        elif isinstance(data, dict):
            data.setdefault(key, {})
        if not isinstance(data, dict | list) or (isinstance(data, list) and step == key):
            raise refusal(f"--set: {quote(path_text)} has no {quote(key)}", ExitCode.USAGE)
        data, at = data[step], [*at, step]  # type: ignore[index]
    if not isinstance(data, dict):
        raise refusal(f"--set: {quote(path_text)} is no key of a section", ExitCode.USAGE)
    is_new = last not in data
    data[last] = new
    path: KeyPath = tuple(at) if is_new else (*at, last)
    line = document.position(path, at_key=True).line
    verb = f"{'below' if is_new else 'in'} line {line}"
    return f"{document.name}:{line} ({path_text}): {verb} write {last}: {clean(value)}"


def _print_what_if(found: WhatIf, pools: dict[PoolKey, PoolWhatIf], options: Namespace) -> None:
    period = f"{time_words(found.begin, 0.0)} to {time_words(found.end, found.begin)}"
    rows = [_row(key, each) for key, each in pools.items()]
    tell(f"{', '.join(map(clean, options.changes))}: {period}, {found.known_s / 3600:.2f} hours")
    tell("\n".join(aligned([_HEAD, *rows], frozenset(range(1, len(_HEAD) - 1)))))
    if options.all_decisions:
        for it in sorted(d for pool in pools.values() for d in pool.differences):
            moved = f"{it.before} ({it.bound_before}) → {it.after} ({it.bound_after})"
            tell(f"{time_words(it.at, found.begin, to_seconds=True)} {it.pool}: {moved}")
    for key, each in pools.items():
        if each.after is None and each.hours_after < each.hours_before:
            lost = each.hours_before - each.hours_after
            tell(f"{key} would lose {lost:.3f} replica-hours by it")
    note(
        "TARGET-H are targets while the past is as it was; waits and REPLICA-H are simulated from "
        "the pool's own arrivals, alone; not known (?) without the time of a task. The room of "
        "nodes and quotas of the cluster are not replayed"
    )


def _row(key: PoolKey, each: PoolWhatIf) -> tuple[str, ...]:
    first = each.differences[0] if each.differences else None
    scores = (each.before, each.after)
    return (
        key,
        f"{100 * each.differs_s / each.seen_s:.1f}%",
        f"{each.hours_before:.3f}",
        f"{each.hours_after:.3f}",
        *("?" if one is None else f"{one.wait_p95_s:.1f}" for one in scores),
        *("?" if one is None else f"{one.replica_hours:.3f}" for one in scores),
        "-" if first is None else f"{time_words(first.at, 0.0)} {first.before} → {first.after}",
    )
