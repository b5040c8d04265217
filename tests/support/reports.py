"""Reads what `agentdash plan --json` prints."""

from __future__ import annotations

import msgspec

from controller.report.plan import PlanReport


def decode_report(text: str | bytes) -> PlanReport:
    return msgspec.json.decode(text, type=PlanReport)
