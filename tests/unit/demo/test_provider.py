"""What the demo's provider admits, with times as arguments."""

from __future__ import annotations

import pytest

from agentdash.demo.agents import ModelAdmission, ProviderModel


def admission(requests_per_minute: float | None, burst: int = 1) -> ModelAdmission:
    model = ProviderModel(name="gpt", requests_per_minute=requests_per_minute, burst=burst)
    return ModelAdmission(model)


def test_requests_flow_in_steadily() -> None:
    model = admission(60, burst=2)
    assert [model.enter(100.0) for _ in range(2)] == [None, None]
    # half a request was there, and this one has taken it
    assert model.enter(100.5) == pytest.approx(1.0)
    assert model.enter(101.5) is None, "it came back when it was told to"
    assert (model.admitted, model.refused) == (3, 1)


def test_a_refused_request_counts_too() -> None:
    hammered, left_alone = (admission(60) for _ in range(2))
    for model in (hammered, left_alone):
        model.enter(0.0)
    for step in range(1, 20):
        assert hammered.enter(step / 2) is not None
    assert left_alone.enter(10.0) is None


def test_without_a_limit_everything_is_admitted() -> None:
    model = admission(None)
    assert all(model.enter(0.0) is None for _ in range(100))
