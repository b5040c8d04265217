"""`agentdash doctor` of a fleet on a real API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from controller.config import parse
from controller.doctor.examine import examine
from controller.model.snapshot import Level
from support.live import fleet_text, streams
from support.nats_server import RealNats

pytestmark = pytest.mark.cluster


async def test_a_real_cluster_is_looked_at_and_what_is_missing_is_named(
    admin: Any, tmp_path: Path
) -> None:
    await admin.deploy("research", replicas=1)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "research"}
    body = {"metadata": {"name": "mine"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    path = f"/apis/autoscaling/v2/namespaces/{admin.namespace}/horizontalpodautoscalers"
    await admin.ask("POST", path, body)
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, ["research"]):
            text = fleet_text(server.url, ["research"], namespace=admin.namespace)
            settings = msgspec.structs.replace(parse(text, "fleet.yaml"), kubernetes=admin.settings)
            report = await examine(settings, admin.clock)
    bad = {line.check: line for line in report.lines if line.level is not Level.OK}
    assert set(bad) == {"workloads", "rivals", "rollouts", "stores"}, bad
    assert "its maxUnavailable is 25%" in bad["rollouts"].text
    assert "no readiness probe" in bad["workloads"].text
    assert "HorizontalPodAutoscaler mine scales research" in bad["rivals"].text
    assert "does not exist yet" in bad["stores"].text
    [kubernetes] = [line.text for line in report.lines if line.check == "kubernetes"]
    assert "server v" in kubernetes
