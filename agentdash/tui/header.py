"""What stands around every view: two header lines, banners, key hints, and the last line.

Textual's Header and Footer cost as many bytes behind the difference writer (50 where the title
changes, 1.2 kB for the first hints), but have one text in the middle of the line, and take 25 ms
where the title changes and 52 ms where bindings do, against 1 ms here.
(tests/benchmarks/bench_widgets.py, 160x45, true colour)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from agentdash.tui import figures
from agentdash.tui.actions import PAGE_TABS, UserAction, key_name
from agentdash.tui.cells import last_sentence
from agentdash.tui.lines import Line, Span, Tone, cut, cut_middle, left_and_right, line, line_width
from agentdash.tui.view import ROLE_LABELS, Frame, standing_above
from controller.model.intents import IntentKind, scope_name, until_words
from controller.model.snapshot import Link, LinkState, Role, Severity, Snapshot, TenantView

TITLE: Final = "agentdash"
WIDE: Final = 140
# the most cells of the fleet's name and of the process that an attached dashboard shows, from the
# width on at which all of it has room beside since when
_NAMES_OF_ATTACHED: Final = ((100, 24, 24), (80, 12, 14), (0, 10, 12))
_LONGEST_NAME: Final = 24
_SHORT_LINK_NAMES: Final = {"kubernetes": "k8s"}
_MOST_BANNERS: Final = 3
_STANDING: Final = {
    IntentKind.FREEZE: "FROZEN",
    IntentKind.PAUSE: "PAUSED",
    IntentKind.NO_GROWTH: "HELD",
}
_LAST_HINTS: Final = frozenset({"help", "back"})


def header_lines(frame: Frame, width: int, height: int) -> list[Line]:
    """Which fleet this is and how it is connected; then the totals of the fleet."""
    return [_fleet_line(frame, width), _totals_line(frame, width)][:height]


def _fleet_line(frame: Frame, width: int) -> Line:
    snapshot = frame.snapshot
    now = figures.date_and_time(frame.now)
    right = (Span((now if width >= WIDE else now[11:]) + " ", Tone.DIM),)
    if snapshot is None:
        return left_and_right((" ", Span(TITLE, Tone.TITLE)), right, width)
    role = ROLE_LABELS[snapshot.role]
    access, word, writes = role.access, role.word, snapshot.role.writes
    lease = snapshot.lease
    if snapshot.role is Role.FOLLOWER and lease is not None and lease.is_ours:
        word = f"{role.word}: lease not kept"
    elif snapshot.role is Role.FOLLOWER and lease is not None and lease.holder:
        word = f"{role.word} of {cut(lease.holder, 24, frame.glyphs.ellipsis)}"
    longest = _LONGEST_NAME
    if snapshot.attached:
        longest, most = next(names for least, *names in _NAMES_OF_ATTACHED if width >= least)
        process = cut_middle(snapshot.process, most, frame.glyphs.ellipsis)
        word = f"{role.word} on {process} since {figures.since(snapshot.epoch, frame.now)}"
        access, writes = "attached", False
    if snapshot.recalled:
        access, word = "past", f"last of {cut(snapshot.process, 24, frame.glyphs.ellipsis)}"
    if frame.moment is not None:
        access, writes = "replay" if frame.moment.is_replay else "past", False
    tone = Tone.OK if writes else Tone.WARN
    left: list[Span | str] = [" ", *_names(frame, snapshot, longest, width)]
    if frame.scope_words:
        left.append(
            Span(f" {cut(frame.scope_words, longest + 8, frame.glyphs.ellipsis)}", Tone.BUSY)
        )
    left += [" ", Span(f"[{access}]", tone), f" {word}"]
    links = () if snapshot.recalled else snapshot.links
    age = figures.age(frame.age_s)
    fresh = Span(f"{age} STALE", Tone.ALERT) if frame.stale else Span(age)
    parts = [(Span("age "), fresh), *(_link(link, frame) for link in links)]
    if width >= WIDE:
        took = figures.milliseconds(snapshot.loop.last_tick_s)
        parts.append((Span(f"interval {snapshot.interval_s:g}s"),))
        parts.append((Span(f"tick {snapshot.sequence} in {took}"),))
    return _line_of_parts(left, parts, right, width)


def _names(frame: Frame, snapshot: Snapshot, longest: int, width: int) -> Iterator[Span]:
    """The fleet, and the cluster's context where that has another name and there is room."""
    fleet, context = snapshot.fleet or snapshot.context or TITLE, snapshot.context
    yield Span(cut(fleet, longest, frame.glyphs.ellipsis), Tone.TITLE)
    if context and context != fleet and (width >= WIDE or not snapshot.attached):
        yield Span(f" on {cut(context, longest, frame.glyphs.ellipsis)}")


def _link(link: Link, frame: Frame) -> tuple[Span, ...]:
    state, duration = Span("ok", Tone.OK), figures.age(frame.now - link.since)
    if link.state is LinkState.CONNECTING:
        state = Span(f"connecting {duration}", Tone.WARN)
    elif link.state is not LinkState.CONNECTED:
        state = Span(f"LOST {duration}", Tone.ALERT)
    return Span(cut(_SHORT_LINK_NAMES.get(link.name, link.name), 12) + " "), state


def _line_of_parts(
    left: Sequence[Span | str],
    parts: Iterable[Sequence[Span]],
    right: Sequence[Span | str],
    width: int,
) -> Line:
    """The left end, then the parts that fit as a whole, then the right end."""
    blanks = "   " if width >= WIDE else "  "
    shown = list(left)
    room = width - line_width(line(*left)) - line_width(line(*right)) - 1
    for part in parts:
        needed = len(blanks) + line_width(line(*part))
        if needed <= room:
            shown += [blanks, *part]
            room -= needed
    return left_and_right(shown, right, width)


def _totals_line(frame: Frame, width: int) -> Line:
    snapshot, sums = frame.snapshot, frame.totals
    if snapshot is None:
        return line(Span(" no snapshot yet", Tone.DIM))
    unknown, stale = frame.glyphs.unknown, frame.glyphs.stale

    def total(known: int, missing: int, old: int) -> str:
        """`?` if none is known, `+?` behind it if some are not, `~` if some are not fresh."""
        if sums.pools and missing == sums.pools:
            return unknown
        more = f"+{unknown}" if missing else ""
        return f"{figures.count(known)}{more}{stale if old or frame.stale else ''}"

    ready = total(sums.ready, sums.ready_unknown, sums.ready_old)
    target = total(sums.target, sums.target_unknown, sums.ready_old + sums.queue_old)
    pods_mark = stale if sums.pods_old or frame.stale else ""
    parts = [
        Span(f"pods {ready}/{target}"),
        Span(f"wanted {total(sums.demand, sums.demand_unknown, sums.queue_old)}"),
        Span(f"queue {total(sums.pending, sums.queue_unknown, sums.queue_old)}"),
    ]
    parts += [
        Span(f"{name} {figures.count(value)}{pods_mark}", tone)
        for name, value, tone in (
            ("starting", sums.starting, Tone.BUSY),
            ("stuck", sums.stuck, Tone.CRIT),
            ("crashing", sums.crashing, Tone.CRIT),
            ("blind", sums.blind, Tone.CRIT),
        )
        if value
    ]
    money = list(_money(snapshot.tenants, frame))
    parts += money[:1]
    parts.append(Span(f"in flight {total(sums.in_flight, sums.queue_unknown, sums.queue_old)}"))
    if width >= WIDE:
        parts.append(Span(f"pools {sums.pools} ({sums.at_zero} at zero)"))
    if width >= WIDE and not frame.scope_words:  # the controller counts its writes of all pools
        loop = snapshot.loop
        parts.append(Span(f"writes {figures.count(loop.writes)} ({loop.failed_writes} failed)"))
    parts += money[1:] if width >= WIDE else ()
    # how many findings are more than information
    serious = [each for each in snapshot.findings if each.severity is not Severity.INFO]
    alarm: tuple[Span, ...] = (
        Span(f"no alarm{stale if frame.stale else ''} ", Tone.WARN if frame.stale else Tone.OK),
    )
    if serious:
        is_critical = any(each.severity is Severity.CRITICAL for each in serious)
        mark, tone = ("!!", Tone.CRIT) if is_critical else ("!", Tone.WARN)
        alarm = (Span(f"{mark} {len(serious)}", tone), Span(" "))
    return _line_of_parts((" ", parts[0]), [(part,) for part in parts[1:]], alarm, width)


def _money(tenants: Iterable[TenantView], frame: Frame) -> Iterator[Span]:
    """USD of today, the month, the day as it will be; `>` if a part is not known."""
    used = [each.by_model for each in tenants if each.by_model is not None]
    spent = [each for each in used if each.usd is not None]
    if not spent:
        return
    old = frame.glyphs.stale if frame.stale or any(each.is_old for each in used) else ""
    more = ">" if any(each.is_unpriced for each in used) else ""
    yield Span(f"today {more}{figures.usd(sum(each.usd or 0.0 for each in spent))}{old} USD")
    months = [each.month for each in spent if each.month is not None]
    if months:
        more = ">" if more or any(each.is_partial for each in months) else ""
        yield Span(f"month {more}{figures.usd(sum(each.usd for each in months))}{old} USD")
    expected = [each.expected_usd or 0.0 for each in spent if each.usd]
    if expected and all(expected):
        yield Span(f"day's end about {figures.usd(sum(expected))} USD")


def banner_lines(frame: Frame, width: int) -> list[Line]:
    """Why the numbers below may be wrong or old; at most three lines."""
    found: list[str] = []
    problem = None if frame.snapshot is None else frame.feed_problem
    recalled = frame.snapshot is not None and frame.snapshot.recalled
    if (moment := frame.moment) is not None:
        at, before = figures.date_and_time(frame.at), figures.age(moment.end_at - frame.at)
        place = "the end" if moment.end_at <= frame.at else f"{before} before the end"
        past = f"PAST {at}, {before} ago; < > {{ }} step, :at TIME, . live"
        so_far = moment.begins_at and f"; read back to {figures.time_of_day(moment.begins_at)}"
        replay = f"REPLAY {at}, {place}{so_far or ''}; < > {{ }} step, :at TIME"
        found.append(replay if moment.is_replay else past)
    elif recalled and problem:
        found.append(f"PAST  {problem}")
    if frame.engine_error and frame.snapshot is not None:
        found.append(f"ENGINE STOPPED  {frame.engine_error}")
    switches = () if frame.snapshot is None else frame.snapshot.frozen_by
    found += [f"WRITES FROZEN  {switch}" for switch in switches]
    for number, each in enumerate(standing_above(frame)):
        ends = "" if number else f"; {frame.end_key} ends it"
        words = f"{_STANDING[each.kind]}  {scope_name(each.scope)}, by {each.who}"
        found.append(f"{words}, {until_words(each.until, frame.now)}{ends}: {each.why}")
    for link in frame.lost_links:
        name = _SHORT_LINK_NAMES.get(link.name, link.name)
        detail = f": {link.detail}" if link.detail else ""
        duration = figures.age(frame.now - link.since)
        since = figures.since(link.since, frame.now)
        found.append(
            f"{name} LOST since {since} ({duration}), its values are the last known{detail}"
        )
    if problem and not recalled:
        found.append(f"FEED LOST  {problem}")
    elif frame.stale and not recalled and frame.snapshot is not None:
        at = figures.time_of_day(frame.snapshot.at)
        symbol = frame.glyphs.stale
        found.append(f"STALE  no news for {figures.age(frame.age_s)}; {symbol} values as of {at}")
    if frame.waiting is not None:
        updates = figures.amount(frame.waiting, "update")
        found.append(f"STILL  {updates} waiting; press {frame.resume_key} to go on")
    return [
        line(Span(" " + cut(text, width - 2, frame.glyphs.ellipsis)), background=Tone.ALERT)
        for text in found[:_MOST_BANNERS]
    ]


def hint_line(actions: Iterable[UserAction], width: int, *, operating_is_off: bool = False) -> Line:
    """The most useful keys of the view, as many as fit in their order; help and the way back are
    the last to go. Those that are off stand in round brackets. A click does what the key does.
    """
    shown = sorted((each for each in actions if each.hint), key=lambda each: each.hint)
    hints: dict[UserAction, Line] = {}
    for each in shown:
        key, click = key_name(each.keys[0]), f"app.run({each.handler!r})"
        name = Span(f"<{key}>", Tone.HEADING, click=click)
        if operating_is_off and each.changes:
            name = Span(f"({key})", Tone.DIM, click=click)
        hints[each] = line(name, Span(f"{each.title} ", Tone.DIM, click=click))
    while shown and sum(line_width(hints[each]) for each in shown) >= width:
        others = [each for each in shown if each.id not in _LAST_HINTS]
        shown.remove((others or shown)[-1])
    return line(" ", *(span for each in shown for span in hints[each].spans))


def crumb_line(
    crumbs: Sequence[str], subject: str | None, flash: Span, frame: Frame, width: int
) -> Line:
    """The last line: the path of views, and the pool under the cursor with its last reason.

    A `flash` message takes the place of the pool.
    """
    left: list[Span | str] = [" "]
    for index, crumb in enumerate(crumbs):
        left.append(Span(" > " if index else "", Tone.TITLE))
        left.append(Span(crumb, Tone.TITLE, click=f"app.crumb({index})"))
    room = width - line_width(line(*left)) - 4
    if flash.text:
        return left_and_right(left, (Span(cut(flash.text, room), flash.tone), " "), width)
    row = None if subject is None else frame.row(subject)
    if row is not None and row.view.decision is not None:
        text = f"{row.key}: {last_sentence(row.view.decision, frame.at)}"
        left.append(Span(f"   {cut(text, room, frame.glyphs.ellipsis)}", Tone.DIM))
    return line(*left)


def tab_line(tab: str, pool: str, frame: Frame, width: int) -> Line:
    """The tabs of the page of a pool, each with its key, and the pool."""
    tabs: list[Span] = []
    for number, each in enumerate(PAGE_TABS, 1):
        click = "" if each == tab else f"app.do('tab', {each!r})"
        tone = Tone.SORTED if each == tab else Tone.PLAIN
        tabs += [Span(f" {number}", Tone.DIM, click=click), Span(f" {each} ", tone, click=click)]
    room = width - line_width(line(*tabs)) - 2
    name = Span(cut_middle(pool, room, frame.glyphs.ellipsis), Tone.TITLE)
    return left_and_right(tabs, (name, " "), width)
