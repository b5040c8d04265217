"""The findings of the checks as a table: each with how bad it is, worst first, and what to do."""

from __future__ import annotations

from typing import Final

from agentdash.tui.columns import Column, Sort
from agentdash.tui.labels import labelled_text
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.view import Frame
from controller.model.snapshot import Diagnosis, Level

_RANK: Final = {Level.FAIL: 0, Level.SKIP: 1, Level.WARN: 2, Level.OK: 3}
_TONES: Final = {
    Level.FAIL: Tone.CRIT,
    Level.SKIP: Tone.CRIT,
    Level.WARN: Tone.WARN,
    Level.OK: Tone.OK,
}
_MEANINGS: Final = {
    Level.FAIL: "it does not work",
    Level.SKIP: "it could not be looked at",
    Level.WARN: "it works worse than it could",
    Level.OK: "as it should be",
}
WORST_FIRST: Final = Sort("RESULT", descending=False)


def diagnosis_key(found: Diagnosis) -> str:
    """Identifies a line: a check may find several things of one pool."""
    return f"{found.check} {found.subject} {found.text}"


def diagnosis_filter_text(found: Diagnosis) -> str:
    """The text that a filter searches."""
    return f"{found.level} {found.check} {found.subject} {found.text} {found.todo}"


DOCTOR_COLUMNS: Final = (
    Column[Diagnosis](
        "RESULT",
        6,
        lambda found, _: Span(str(found.level), _TONES[found.level]),
        lambda found: (_RANK[found.level],),
        letter="A",
    ),
    Column[Diagnosis](
        "CHECK",
        12,
        lambda found, _: Span(found.check, Tone.HEADING),
        lambda found: (found.check,),
        widest=20,
        letter="T",
    ),
    Column[Diagnosis](
        "OF",
        14,
        lambda found, frame: Span(found.subject or frame.glyphs.none),
        lambda found: (found.subject,) if found.subject else None,
        widest=32,
        letter="N",
        names=True,
        rank=1,
    ),
    Column[Diagnosis]("FOUND", 20, lambda found, _: Span(found.text), fill=True),
)


def diagnosis_lines(found: Diagnosis, frame: Frame, width: int) -> list[Line]:
    """One line in full, and what to do about it."""
    del frame
    result = f"{found.level}: {_MEANINGS[found.level]}"
    lines = labelled_text("result", result, width, _TONES[found.level])
    if found.subject:
        lines += labelled_text("of", found.subject, width)
    lines += labelled_text("found", found.text, width)
    if found.todo:
        lines += labelled_text("to do", found.todo, width)
    return lines
