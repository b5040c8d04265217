"""A daemon on a cluster of three NATS servers, one of which is lost while it scales, and what the
doctor says of streams that one server keeps.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.config import parse
from controller.doctor.examine import examine
from controller.engine.supervise import SystemClock
from support.clustered_fleet import ELECTION_S, cluster_of_three, lose_leader
from support.live import daemon, until


@pytest.mark.timeout(180)
async def test_the_leader_of_a_consumer_is_killed_and_nothing_shrinks_before_work_is_done(
    tmp_path: Path,
) -> None:
    async with cluster_of_three(tmp_path) as fleet:
        async with daemon(tmp_path / "fleet.yaml", tmp_path / "kubeconfig") as running:
            await until(lambda: running.said("leading"))
            await fleet.publish(5)
            await until(lambda: fleet.replicas() == 5)
            # cooldown and window are shorter than an election: silence taken for zero would show
            await lose_leader(fleet, running, own=False)
            await fleet.publish(3)
            await until(lambda: fleet.replicas() == 8, ELECTION_S)
            scaled = [int(str(line["after"])) for line in running.said("scaled")]
            assert scaled == sorted(scaled)
            await fleet.finish(8)
            await until(lambda: fleet.replicas() == 0, ELECTION_S)
        assert await fleet.copies("KV_agentdash") == 3


async def test_the_doctor_names_each_stream_that_is_lost_with_one_server(tmp_path: Path) -> None:
    async with cluster_of_three(tmp_path) as fleet:
        jetstream = fleet.client.jetstream()
        await jetstream.create_key_value(bucket="agentdash")
        settings = parse((tmp_path / "fleet.yaml").read_text("utf-8"), "fleet.yaml")
        report = await examine(settings, SystemClock())
        [line] = [line for line in report.lines if line.check == "copies"]
        assert (line.level, line.todo) == (
            "warn",
            "nats stream edit KV_agentdash --replicas 3, and nats.replicas: 3 in the fleet file",
        )
        assert "KV_agentdash is kept by one server of cluster three" in line.text
        bucket = (await jetstream.stream_info("KV_agentdash")).config
        bucket.num_replicas = 3
        await jetstream.update_stream(bucket)
        report = await examine(settings, SystemClock())
        assert [line.level for line in report.lines if line.check == "copies"] == ["ok"]
