"""What stands around every view: two header lines, banners, footer hints, crumbs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from agentdash.tui import figures, words
from agentdash.tui.actions import Action, key_name
from agentdash.tui.lines import Line, Span, Tone, cut, ends, line, line_width
from agentdash.tui.view import Scene
from controller.model.snapshot import Link, LinkState, Role, Severity

WIDE: Final = 140
_ROLES: Final = {
    Role.LEADER: ("RW", "leader"),
    Role.FOLLOWER: ("RO", "follower"),
    Role.READ_ONLY: ("RO", "read-only"),
}
_SHORT: Final = {"kubernetes": "k8s"}
_MOST_BANNERS: Final = 3


def header_lines(scene: Scene, width: int, height: int) -> list[Line]:
    """Where we are and how it is connected; then the fleet in numbers."""
    first = _where(scene, width)
    return [first, _numbers(scene, width)][:height]


def _where(scene: Scene, width: int) -> Line:
    snapshot = scene.snapshot
    clock = figures.date_and_time if width >= WIDE else _clock
    right = (Span(clock(scene.now) + " ", Tone.DIM),)
    if snapshot is None:
        return ends((" ", Span(scene.title, Tone.TITLE)), right, width)
    letters, word = _ROLES[snapshot.role]
    name = cut(snapshot.context or snapshot.fleet or scene.title, 24, scene.glyphs.ellipsis)
    left: list[Span | str] = [" ", Span(name, Tone.TITLE)]
    left += [" ", Span(f"[{letters}]", Tone.OK if scene.writes else Tone.WARN), f" {word}"]
    if width >= WIDE:
        left += ["   fleet ", cut(snapshot.fleet, 24, scene.glyphs.ellipsis)]
    parts = [(Span("age "), _age(scene)), *(_link(link, scene) for link in snapshot.links)]
    if width >= WIDE:
        took = figures.milliseconds(snapshot.loop.last_tick_s)
        parts.append((Span(f"interval {snapshot.interval_s:g}s"),))
        parts.append((Span(f"tick {snapshot.sequence} in {took}"),))
    return _row_of_parts(left, parts, right, width)


def _row_of_parts(
    left: Sequence[Span | str],
    parts: Iterable[Sequence[Span]],
    right: Sequence[Span | str],
    width: int,
) -> Line:
    """What is always shown, then as many parts as fit whole, then the right end."""
    blanks = "   " if width >= WIDE else "  "
    shown = list(left)
    room = width - line_width(line(*left)) - line_width(line(*right)) - 1
    for part in parts:
        needed = len(blanks) + line_width(line(*part))
        if needed <= room:
            shown += [blanks, *part]
            room -= needed
    return ends(shown, right, width)


def _clock(at: float) -> str:
    return f"{figures.time_of_day(at)}Z"


def _link(link: Link, scene: Scene) -> tuple[Span, ...]:
    name = Span(cut(_SHORT.get(link.name, link.name), 12) + " ")
    if link.state is LinkState.CONNECTED:
        return (name, Span("ok", Tone.OK))
    lasted = figures.age(scene.now - link.since)
    if link.state is LinkState.CONNECTING:
        return (name, Span(f"connecting {lasted}", Tone.WARN))
    return (name, Span(f"LOST {lasted}", Tone.ALERT))


def _age(scene: Scene) -> Span:
    text = figures.age(scene.age_s)
    return Span(f"{text} STALE", Tone.ALERT) if scene.stale else Span(text)


def _numbers(scene: Scene, width: int) -> Line:
    snapshot, sums = scene.snapshot, scene.totals
    if snapshot is None:
        return line(Span(" no snapshot yet", Tone.DIM))
    parts = [
        Span(f"pods {figures.count(sums.ready)}/{figures.count(sums.target)}"),
        Span(f"wanted {figures.count(sums.demand)}"),
        Span(f"queue {figures.count(sums.queued)}"),
    ]
    parts += [
        Span(f"{name} {figures.count(value)}", tone)
        for name, value, tone in (
            ("starting", sums.starting, Tone.BUSY),
            ("stuck", sums.stuck, Tone.CRIT),
            ("crashing", sums.crashing, Tone.CRIT),
            ("blind", sums.blind, Tone.CRIT),
        )
        if value
    ]
    parts.append(Span(f"in flight {figures.count(sums.in_flight)}"))
    if width >= WIDE:
        parts.append(Span(f"pools {sums.pools} ({sums.at_zero} at zero)"))
        loop = snapshot.loop
        parts.append(Span(f"writes {figures.count(loop.writes)} ({loop.failed_writes} failed)"))
    return _row_of_parts((" ", parts[0]), [(part,) for part in parts[1:]], _alarm(scene), width)


def _alarm(scene: Scene) -> tuple[Span | str, ...]:
    findings = () if scene.snapshot is None else scene.snapshot.findings
    loud = [each for each in findings if each.severity is not Severity.INFO]
    if not loud:
        return (Span("no alarm ", Tone.OK),)
    critical = any(each.severity is Severity.CRITICAL for each in loud)
    mark = "!!" if critical else "!"
    return (Span(f"{mark} {len(loud)}", Tone.CRIT if critical else Tone.WARN), " ")


def banner_lines(scene: Scene, width: int) -> list[Line]:
    """What a reader must know before trusting a number; at most three lines."""
    found: list[str] = []
    if scene.trouble and scene.snapshot is not None:
        found.append(f"ENGINE STOPPED  {scene.trouble}")
    for link in scene.lost_links:
        name = _SHORT.get(link.name, link.name)
        what = f": {link.detail}" if link.detail else ""
        lasted = figures.age(scene.now - link.since)
        found.append(f"{name} LOST {lasted}, its values are the last known{what}")
    if scene.stale and scene.snapshot is not None:
        at = figures.time_of_day(scene.snapshot.at)
        sign = scene.glyphs.stale
        found.append(f"STALE  no news for {figures.age(scene.age_s)}; {sign} values as of {at}Z")
    if scene.held_back is not None:
        waiting = f"{scene.held_back} update{'' if scene.held_back == 1 else 's'} waiting"
        found.append(f"FROZEN  {waiting}; press . to go on")
    return [
        line(Span(" " + cut(text, width - 2, scene.glyphs.ellipsis)), base=Tone.ALERT)
        for text in found[:_MOST_BANNERS]
    ]


def hint_line(actions: Iterable[Action], width: int) -> Line:
    """The keys worth knowing here, as many as fit."""
    spans: list[Span | str] = [" "]
    for action in sorted((each for each in actions if each.hint), key=lambda each: each.hint):
        hint = (
            Span(f"<{key_name(action.keys[0])}>", Tone.HEAD),
            Span(f"{action.title} ", Tone.DIM),
        )
        if line_width(line(*spans, *hint)) > width:
            break
        spans += hint
    return line(*spans)


def crumb_line(
    crumbs: Sequence[str], subject: str | None, flash: Span, scene: Scene, width: int
) -> Line:
    """Where we came from, the pool under the cursor and why, and the dashboard's last word."""
    trail = " > ".join(cut(crumb, 40, scene.glyphs.ellipsis) for crumb in crumbs)
    left: list[Span | str] = [" ", Span(trail, Tone.TITLE)]
    room = width - line_width(line(*left)) - 4
    if flash.text:
        return ends(left, (Span(cut(flash.text, room), flash.tone), " "), width)
    row = None if subject is None else scene.row(subject)
    if row is not None and row.view.decision is not None:
        told = f"{row.key}: {words.last_word(row.view.decision)}"
        left.append(Span(f"   {cut(told, room, scene.glyphs.ellipsis)}", Tone.DIM))
    return line(*left)


def rule_line(scene: Scene, width: int) -> Line:
    """A line across."""
    return line(Span(scene.glyphs.horizontal * width, Tone.FRAME))
