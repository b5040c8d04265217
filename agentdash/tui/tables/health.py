"""The health: which controller is shown, what it may not do, what the checks find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from agentdash import __version__
from agentdash.tui import figures
from agentdash.tui.cells import since_column
from agentdash.tui.lines import Line, Span, Tone, labelled_text
from agentdash.tui.table import Column, Need, Sort, Table, View, part
from agentdash.tui.tables.pools import nothing_seen
from agentdash.tui.view import ROLE_LABELS, Frame
from controller.model.decision import OutcomeKind
from controller.model.ids import WorkloadKind
from controller.model.readings import Fresh, Why
from controller.model.snapshot import (
    Diagnosis,
    Level,
    Link,
    LinkState,
    Progress,
    Role,
    Severity,
    Snapshot,
)
from controller.model.text import clean

_ROLES: Final = {
    Role.ACTIVE: "writes without a lease (store: none): run one controller at a time",
    Role.LEADER: "holds the lease and writes",
    Role.FOLLOWER: "writes nothing: another process holds the lease",
    Role.READ_ONLY: "never writes",
}
_REFUSED: Final = frozenset({OutcomeKind.FORBIDDEN, OutcomeKind.UNAUTHORIZED})
_NAMED: Final = 3
_LACKS: Final = "no right to"


class Fact(NamedTuple):
    """One thing that is so, and since when where that is known (Unix seconds)."""

    name: str
    text: str
    since: float | None = None
    tone: Tone = Tone.PLAIN


def facts(frame: Frame) -> Sequence[Fact]:
    """All facts; () before the first snapshot."""
    snapshot = frame.snapshot
    if snapshot is None:
        return ()
    context = f", context {snapshot.context}" if snapshot.context else ""
    pools, kept = (
        figures.amount(len(each), "pool") for each in (snapshot.pools, snapshot.histories)
    )
    of = f", {figures.amount(len(snapshot.tenants), 'tenant')}"
    of = f" of {frame.scope_words}; 0 shows all" if frame.others else of
    where = "in this process"
    if frame.moment is not None and frame.moment.is_replay:
        where = "as a journal has it"
    elif snapshot.recalled:
        where = "the last that ran; this is what it has kept"
    elif snapshot.attached:
        where = "elsewhere, this dashboard is attached"
    loop, took = snapshot.loop, figures.milliseconds(snapshot.loop.last_tick_s)
    every = f"every {snapshot.interval_s:g} s, the last in {took}, {loop.late_ticks} late"
    past = f"15 minutes and 24 hours of {kept}; saved every minute by the controller that writes"
    return (
        _version(snapshot),
        Fact("fleet", f"{snapshot.fleet}{context}: {pools}{of}"),
        *(Fact(name, clean(text)) for name, text in frame.asked.places),
        Fact("controller", f"{snapshot.process or 'not known'}, {where}", snapshot.epoch),
        Fact("role", f"{ROLE_LABELS[snapshot.role].word}: {_ROLES[snapshot.role]}"),
        Fact("epoch", f"{snapshot.epoch:.3f}, sequence {snapshot.sequence}"),
        Fact("tick", every),
        *(_link(link, frame) for link in snapshot.links),
        Fact("journal", snapshot.journal or "none; --journal FILE keeps one"),
        Fact("history", past),
        *_rights(snapshot),
    )


def _version(snapshot: Snapshot) -> Fact:
    here, there = f"agentdash {__version__}", snapshot.version
    if there not in {"", __version__}:
        return Fact("version", f"{here} here, {there} in the controller", tone=Tone.WARN)
    return Fact("version", f"{here}, this dashboard{' and the controller' if there else ''}")


def _link(link: Link, frame: Frame) -> Fact:
    detail, good = f": {link.detail}" if link.detail else "", ""
    if link.state is not LinkState.CONNECTED and link.last_good_at is not None:
        good = f"; last good answer {figures.age(frame.now - link.last_good_at)} ago"
    tone = Tone.OK if link.state is LinkState.CONNECTED else Tone.CRIT
    return Fact(link.name, f"{link.state}{detail}{good}", link.since, tone)


def _rights(snapshot: Snapshot) -> Iterator[Fact]:
    """What our users at Kubernetes and NATS may not do, as far as it was tried."""
    refused: dict[str, list[str]] = {f"{kind.plural}/scale": [] for kind in WorkloadKind}
    unread = refused.setdefault("their queue, workload or pods", [])
    for view in snapshot.pools:
        seen, outcome = view.observation, view.outcome
        if outcome is not None and outcome.kind in _REFUSED:
            refused[f"{view.workload.kind.plural}/scale"].append(view.key)
        readings = (seen.queue, seen.workload, seen.pods)
        if any(not isinstance(each, Fresh) and each.why is Why.REFUSED for each in readings):
            unread.append(view.key)
    lacks = []
    for what, keys in refused.items():
        more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
        lacks += [f"{what}: {', '.join(keys[:_NAMED])}{more}"] if keys else []
    lacks += [
        finding.text
        for finding in snapshot.findings
        if finding.subject == "kubernetes" and finding.severity is Severity.INFO
    ]
    yield from (Fact(_LACKS, text, tone=Tone.WARN) for text in lacks)
    if not lacks:
        yield Fact("rights", "none is seen to be missing", tone=Tone.OK)


def fact_lines(fact: Fact, frame: Frame, width: int) -> list[Line]:
    """The fact in full."""
    lines = labelled_text(fact.name, fact.text, width, fact.tone)
    if fact.since is not None:
        ago = figures.age(frame.now - fact.since)
        text = f"{figures.date_and_time(fact.since)}, {ago} ago"
        lines += labelled_text("since", text, width, Tone.PLAIN)
    return lines


FACTS: Final = Table[Fact](
    "info",
    "info",
    (
        Column[Fact]("FACT", 11, "what it is about", "fact", "name", tone=Tone.DIM),
        since_column("since"),
        Column[Fact](
            "IS", 30, "what is so now", "is", "text", tone=part("tone"), widest=400, fill=True,
        ),
    ),
    facts,
    key=lambda fact: f"{fact.name} {fact.text}" if fact.name == _LACKS else fact.name,
    nothing=nothing_seen,
    details=fact_lines,
    called=lambda fact: fact.name,
)  # fmt: skip


# -- the doctor -------------------------------------------------------------------------------

_LEVELS: Final = {
    Level.FAIL: (0, Tone.CRIT, "it does not work"),
    Level.SKIP: (1, Tone.CRIT, "it could not be looked at"),
    Level.WARN: (2, Tone.WARN, "it works worse than it could"),
    Level.OK: (3, Tone.OK, "as it should be"),
}


def diagnosis_lines(found: Diagnosis, frame: Frame, width: int) -> list[Line]:
    """One line in full, and what to do about it."""
    del frame
    _, tone, meaning = _LEVELS[found.level]
    lines = labelled_text("result", f"{found.level}: {meaning}", width, tone)
    for label, text in (("of", found.subject), ("found", found.text), ("to do", found.todo)):
        if text:
            lines += labelled_text(label, text, width)
    return lines


def _checks(frame: Frame) -> Sequence[Diagnosis]:
    checks = frame.asked.checks
    lines = checks.lines if isinstance(checks, Progress) else ()
    return [each for each in lines if not frame.leaves_out(each.subject)]


def _nothing_checked(frame: Frame) -> list[Span]:
    """No check has ended yet, or none can be made."""
    checks = frame.asked.checks
    if isinstance(checks, str):
        why, *to_do = checks.split("; ")
        first = Span(f"nothing was checked: {why}", Tone.WARN)
        return [first, *(Span(each, Tone.DIM) for each in to_do)]
    return [Span(f"looking at NATS and Kubernetes {frame.glyphs.ellipsis}", Tone.DIM)]


def how_far(frame: Frame) -> str:
    """How far the checks are, for the title of their table."""
    checks, at = frame.asked.checks, frame.asked.checked_at
    if at is not None:
        return f"checked at {figures.time_of_day(at)}; :doctor again"
    if not isinstance(checks, Progress):
        return ""
    return f"{checks.ended} of {checks.checks} checks have ended"


_Found = Column[Diagnosis]
DOCTOR: Final = Table[Diagnosis](
    "doctor",
    "doctor",
    (
        _Found(
            "RESULT", 6, "whether it works: fail, skip (not looked at), warn, ok", "level",
            lambda found: str(found.level), tone=lambda found: _LEVELS[found.level][1],
            sort=lambda found: _LEVELS[found.level][0], letter="A",
        ),
        _Found(
            "CHECK", 12, "what was looked at", "check", tone=Tone.HEADING, widest=20, letter="T",
        ),
        _Found(
            "OF", 14, "the pool or tenant that it is about, or the fleet", "subject",
            lambda found: found.subject or None, widest=32, letter="N", names=True, rank=1,
        ),
        _Found(
            "FOUND", 20, "what was found; below, what to do about it", "text",
            more={"todo": lambda found, _: found.todo or None}, fill=True,
        ),
    ),
    _checks,
    key=lambda found: f"{found.check} {found.subject} {found.text}",
    nothing=_nothing_checked,
    text=lambda found: f"{found.level} {found.check} {found.subject} {found.text} {found.todo}",
    sort=Sort("RESULT", descending=False),
    details=diagnosis_lines,
    called=lambda found: f"{found.check} {found.subject}".rstrip(),
    state=how_far,
    asked=True,
)  # fmt: skip
_BOTH: Final = (Need.SNAPSHOT, Need.DOCTOR)
VIEWS: Final = (
    View("health", (DOCTOR, FACTS), "whether all works, who decides", ("he",), needs=_BOTH),
    View("info", (FACTS,), "who decides here", screen="health", listed=False),
    View(
        "doctor", (DOCTOR,), "check everything", ("doc",), screen="health",
        needs=(Need.DOCTOR,), listed=False,
    ),
)  # fmt: skip
