"""What deserves attention of the fleet itself."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from controller.engine.actuate import Recorder
from controller.engine.show.findings import cost_findings, file_findings
from controller.engine.show.snapshot import SnapshotBuilder
from controller.model.decision import Decision
from controller.model.fleet import Fleet, Tenant, Tier
from controller.model.ids import PoolKey
from controller.model.scarcity import Budget, LlmModel, Price, TaskUsage
from controller.model.settings import Notice
from controller.model.snapshot import Role, Severity
from controller.planning.share.claims import cost_terms_of
from support.world import START, make_pool

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


def spending(target: int) -> tuple[Fleet, dict[PoolKey, Decision]]:
    """A tenant that is alerted at 1500 USD per hour, its replicas costing 1 each."""
    usage = TaskUsage(output_tokens=1000, seconds=Decimal(36))  # 100 tasks an hour, 1 USD
    pool = replace(make_pool("research"), slots=1, model="gpt", usage=usage)
    budget = Budget(usd_alert=Decimal(1500))
    tier = Tier(name="growth", priority=500)
    fleet = Fleet(
        tenants=(Tenant(name=pool.tenant, tier=tier, namespace="n", budget=budget),),
        pools=(pool,),
        models=(LlmModel(name="gpt", price=Price(input=Decimal(0), output=Decimal(10))),),
    )
    decision = Decision(pool=pool.key, current=0, demand=0, recommendation=0, target=target, next=0)
    return fleet, {pool.key: decision}


def test_a_tenant_at_its_alert_is_a_warning() -> None:
    fleet, below = spending(1499)
    _, at_its_alert = spending(1500)
    terms = cost_terms_of(fleet)
    assert list(cost_findings(terms, below)) == []
    text = "planned at 1,500.00 USD per hour, at or above its alert of 1,500"
    assert list(cost_findings(terms, at_its_alert)) == [(Severity.WARNING, "acme", "cost", text)]


def test_they_are_among_a_snapshots_findings_and_those_of_models_with_them() -> None:
    fleet, decisions = spending(1500)
    builder = SnapshotBuilder(
        fleet=fleet,
        name="fleet.yaml",
        context="test",
        interval_s=1.0,
        epoch=START,
        notices=(NOTICE,),
    )
    builder.decided(decisions)
    snapshot = builder.snapshot(
        links=(),
        recorder=Recorder(writes=False),
        notices=(),
        failures=(),
        now=START,
        role=Role.READ_ONLY,
    )
    found = {(finding.subject, finding.kind) for finding in snapshot.findings}
    of_the_file = {("fleet file", "models.gpt.tier"), ("fleet file", "models.gpt.limits")}
    assert found >= {("acme", "cost"), *of_the_file}
