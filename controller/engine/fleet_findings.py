"""Findings about the fleet as a whole: keys without effect, and costs at a tenant's alert."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controller.engine.findings import Found
from controller.model.decision import Decision
from controller.model.ids import PoolKey
from controller.model.settings import Notice
from controller.model.snapshot import Severity
from controller.planning.share.reasons import CostTerms, cost_alerts

FLEET_FILE: Final = "fleet file"
FLEET: Final = "fleet"


def file_findings(notices: Iterable[Notice]) -> Iterator[Found]:
    """One finding for each key of the fleet file that has no effect."""
    for notice in notices:
        yield Severity.INFO, FLEET_FILE, notice.path, str(notice)


def cost_findings(costs: CostTerms, decisions: Mapping[PoolKey, Decision]) -> Iterator[Found]:
    """One finding for each tenant whose pools are planned to cost its alert or more (USD/h)."""
    for alert in cost_alerts(costs, decisions):
        text = (
            f"planned at {float(alert.usd_per_hour):,.2f} USD per hour, at or above its alert of "
            f"{alert.usd_alert:,}"
        )
        yield Severity.WARNING, alert.tenant, "cost", text
