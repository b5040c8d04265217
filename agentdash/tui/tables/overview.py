"""The overview: pools, what is wrong with them, and what was scaled last."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from agentdash.tui.table import View
from agentdash.tui.tables.attention import ATTENTION
from agentdash.tui.tables.log import EVENTS
from agentdash.tui.tables.pools import POOLS

WORST_POOLS: Final = replace(POOLS, title="pools, the worst first")
FINDINGS: Final = replace(
    ATTENTION,
    columns=[each for each in ATTENTION.columns if each.title != "LEADS TO"],
    sort=None,
    unfolds=lambda row: row.finding.text,
    narrow=("!", "SUBJECT", "SINCE"),
    headings_from=6,
)
# without a sort, the newest is on top at once, also while the table is read
LAST_EVENTS: Final = replace(
    EVENTS,
    columns=[each for each in EVENTS.columns if each.title not in {"AGO", "BY", "OUTCOME"}],
    sort=None,
    rows=EVENTS.sorted_rows,
)
VIEWS: Final = (
    View("overview", (WORST_POOLS, FINDINGS, LAST_EVENTS), "the fleet", ("ov", "pulses")),
)
