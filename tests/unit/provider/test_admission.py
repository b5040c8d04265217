"""What the demo's provider admits, with times as arguments."""

from __future__ import annotations

import pytest

from agentdash.demo.provider.admission import ModelAdmission, ProviderModel, Refusal


def admission(**limits: float) -> ModelAdmission:
    return ModelAdmission(ProviderModel(name="gpt", **limits))  # type: ignore[arg-type]


def test_requests_flow_in_steadily() -> None:
    model = admission(requests_per_minute=60, burst=2)
    assert [model.enter(0, 100.0) for _ in range(2)] == [None, None]
    # half a request was there, and this one has taken it
    assert model.enter(0, 100.5) == Refusal("requests", pytest.approx(1.0))
    assert model.enter(0, 101.5) is None, "it came back when it was told to"
    assert (model.admitted, model.refused) == (3, {"requests": 1})


def test_a_refused_request_counts_too() -> None:
    hammered, left_alone = (admission(requests_per_minute=60) for _ in range(2))
    for model in (hammered, left_alone):
        model.enter(0, 0.0)
    for step in range(1, 20):
        assert hammered.enter(0, step / 2) is not None
    assert left_alone.enter(0, 10.0) is None


def test_tokens_are_reserved_and_then_replaced_by_what_was_used() -> None:
    model = admission(tokens_per_minute=6000)
    assert model.enter(6000, 0.0) is None
    assert model.enter(1000, 0.0) == Refusal("tokens", pytest.approx(10.0))
    model.leave(6000, 2000)
    assert model.enter(4000, 0.0) is None


def test_only_so_many_requests_are_under_way() -> None:
    model = admission(parallel=1)
    assert model.enter(0, 0.0) is None
    refusal = model.enter(0, 0.0)
    assert refusal is not None
    assert refusal.limit == "parallel"
    model.leave(0, 0)
    assert model.enter(0, 0.0) is None


def test_without_limits_everything_is_admitted() -> None:
    model = admission()
    assert all(model.enter(10**9, 0.0) is None for _ in range(100))
