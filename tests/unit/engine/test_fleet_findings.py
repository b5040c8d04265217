"""What deserves attention of the fleet itself."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from controller.engine.fleet_findings import cost_findings, file_findings
from controller.model.decision import Decision
from controller.model.fleet import Fleet, Tenant, Tier
from controller.model.scarcity import Budget, LlmModel, Price, TaskUsage
from controller.model.settings import Notice
from controller.model.snapshot import Severity
from support.world import make_pool

NOTICE = Notice(place="fleet.yaml:12:5", path="models.gpt.tier", text="is read by workers")


def test_a_key_without_effect_is_for_information() -> None:
    assert list(file_findings([NOTICE])) == [
        (
            Severity.INFO,
            "fleet file",
            "models.gpt.tier",
            "fleet.yaml:12:5: models.gpt.tier is read by workers",
        )
    ]


def test_a_tenant_at_its_alert_is_a_warning() -> None:
    usage = TaskUsage(output_tokens=1000, seconds=Decimal(36))  # 100 tasks an hour, 1 USD
    pool = replace(make_pool("research"), slots=1, model="gpt", usage=usage)
    budget = Budget(usd_alert=Decimal(1500))
    tier = Tier(name="growth", priority=500)
    fleet = Fleet(
        tenants=(Tenant(name=pool.tenant, tier=tier, namespace="n", budget=budget),),
        pools=(pool,),
        models=(LlmModel(name="gpt", price=Price(input=Decimal(0), output=Decimal(10))),),
    )

    def found(target: int) -> list[tuple[Severity, str, str, str]]:
        decision = Decision(
            pool=pool.key, current=0, demand=0, recommendation=0, target=target, next=0
        )
        return list(cost_findings(fleet, {pool.key: decision}))

    assert found(1499) == []
    text = "planned at 1,500.00 USD per hour, at or above its alert of 1,500"
    assert found(1500) == [(Severity.WARNING, pool.tenant, "cost", text)]
