"""What a pod requests: counted as the scheduler counts it, exactly."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controller.kube import wire
from controller.kube.supply import requested
from controller.model.scarcity import Resources

MI = 2**20


def container(
    cpu: object = None, memory: object = None, *, limits: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    asked = {"cpu": cpu, "memory": memory}
    requests = {name: amount for name, amount in asked.items() if amount is not None}
    return {"resources": {"requests": requests, "limits": limits or {}}, **more}


def pod(*containers: dict[str, Any], **spec: Any) -> Resources:
    return requested(msgspec.convert({"containers": list(containers), **spec}, wire.WirePodSpec))


def cpu(*containers: dict[str, Any], **spec: Any) -> int | None:
    return pod(*containers, **spec).cpu_milli


SIDECAR = {"restartPolicy": "Always"}


def test_init_containers_count_where_they_need_more_than_the_containers() -> None:
    start = [container("3"), container("1")]
    assert cpu(container("2"), initContainers=start) == 3000
    assert cpu(container("2"), container("2"), initContainers=start) == 4000
    assert cpu(container(), initContainers=[container("1")]) == 1000


def test_sidecars_run_beside_what_starts_after_them_and_beside_all_containers() -> None:
    sidecar = container("500m", **SIDECAR)
    assert cpu(container("1"), initContainers=[sidecar]) == 1500
    assert cpu(container("1"), initContainers=[sidecar, container("2")]) == 2500
    assert cpu(container("1"), initContainers=[container("2"), sidecar]) == 2000
    assert cpu(container("1"), initContainers=[sidecar, container("2"), sidecar]) == 2500


def test_requests_of_the_whole_pod_replace_those_of_its_containers() -> None:
    whole = {"requests": {"cpu": "5"}}
    assert pod(container("1", "1Mi"), resources=whole) == Resources(cpu_milli=5000, memory_bytes=MI)
    assert cpu(container("1"), resources={"limits": {"cpu": "5"}}) == 1000
    assert cpu(container(), resources={"limits": {"cpu": "5"}}) == 5000


def test_a_request_that_is_no_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        pod(container("lots"))
