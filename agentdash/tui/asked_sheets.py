"""The tables of the views that come with no snapshot: the audit, the checks of the doctor, help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agentdash.tui.audit import AUDIT_COLUMNS, NEWEST_FIRST, after_text, before_text
from agentdash.tui.columns import Column, sort_rows
from agentdash.tui.doctor import DOCTOR_COLUMNS, WORST_FIRST, diagnosis_key
from agentdash.tui.help_text import HelpEntry
from agentdash.tui.lines import Span
from agentdash.tui.sheets import Sheet, Sheets
from agentdash.tui.values import ValueField
from controller.model.intents import IntentChange, scope_name
from controller.model.snapshot import Diagnosis


def _until(change: IntentChange) -> float | None:
    return None if change.after is None else change.after.until


AUDIT_FIELDS: Final[Sequence[ValueField[IntentChange]]] = (
    ValueField("revision", "TIME", lambda change, _: change.revision),
    ValueField("at", "TIME", lambda change, _: change.at),
    ValueField("age_s", "AGO", lambda change, frame: max(frame.now - change.at, 0.0)),
    ValueField("who", "WHO", lambda change, _: change.who or None),
    ValueField("origin", "WHO", lambda change, _: change.origin or None),
    ValueField("kind", "ASKED FOR", lambda change, _: str(change.key.kind)),
    ValueField("scope", "OF", lambda change, _: scope_name(change.key.scope)),
    ValueField("before", "BEFORE → AFTER", lambda change, _: before_text(change)),
    ValueField("after", "BEFORE → AFTER", lambda change, _: after_text(change)),
    ValueField("expired", "BEFORE → AFTER", lambda change, _: change.expired),
    ValueField("undoes", "BEFORE → AFTER", lambda change, _: change.undoes),
    ValueField("until", "UNTIL", lambda change, _: _until(change)),
    ValueField("why", "REASON", lambda change, _: change.why or None),
)
DIAGNOSIS_FIELDS: Final[Sequence[ValueField[Diagnosis]]] = (
    ValueField("level", "RESULT", lambda found, _: str(found.level)),
    ValueField("check", "CHECK", lambda found, _: found.check),
    ValueField("subject", "OF", lambda found, _: found.subject or None),
    ValueField("text", "FOUND", lambda found, _: found.text),
    ValueField("todo", "FOUND", lambda found, _: found.todo or None),
)


HELP_COLUMNS: Final[Sequence[Column[HelpEntry]]] = (
    Column[HelpEntry]("GROUP", 8, lambda entry, _: Span(entry.group), rank=1),
    Column[HelpEntry]("NAME", 12, lambda entry, _: Span(entry.name)),
    Column[HelpEntry]("MEANS", 18, lambda entry, _: Span(entry.text), fill=True),
)
HELP_FIELDS: Final[Sequence[ValueField[HelpEntry]]] = (
    ValueField("group", "GROUP", lambda entry, _: entry.group),
    ValueField("name", "NAME", lambda entry, _: entry.name),
    ValueField("means", "MEANS", lambda entry, _: entry.text),
)


def help_sheets(entries: Sequence[HelpEntry]) -> Sheets:
    """The table of these entries, in their order."""
    return (
        Sheet(
            "help",
            "keys, words and marks",
            HELP_COLUMNS,
            HELP_FIELDS,
            entries,
            lambda entry: f"{entry.group} {entry.name}",
            "nothing is explained",
        ),
    )


def audit_sheets(changes: Sequence[IntentChange]) -> Sheets:
    """The table of these changes, the newest first."""

    def key(change: IntentChange) -> str:
        return str(change.revision)

    rows = sort_rows(changes, AUDIT_COLUMNS, NEWEST_FIRST, key)
    nothing = "nothing was ever asked for"
    return (Sheet("audit", "audit", AUDIT_COLUMNS, AUDIT_FIELDS, rows, key, nothing),)


def doctor_sheets(found: Sequence[Diagnosis]) -> Sheets:
    """The table of what the checks found, the worst first."""
    rows = sort_rows(found, DOCTOR_COLUMNS, WORST_FIRST, diagnosis_key)
    nothing = "nothing was checked"
    return (
        Sheet("doctor", "doctor", DOCTOR_COLUMNS, DIAGNOSIS_FIELDS, rows, diagnosis_key, nothing),
    )
