"""What a worker reads from its environment."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from agentdash.cli import main
from agentdash.worker import (
    ModelTerms,
    ModelTier,
    RateShare,
    Session,
    Task,
    Worker,
    WorkerSettingsError,
)
from agentdash.worker.lifecycle import CUT_S
from agentdash.worker.settings import QueueName, read_settings
from support.table import tabled

LEAST = {
    "NATS_URL": "nats://one:4222, nats://two:4222",
    "AGENTDASH_TENANT": "acme",
    "AGENTDASH_POOL": "research",
    "AGENTDASH_QUEUES": "TASKS/high, TASKS/normal",
}


def test_the_least_that_is_needed() -> None:
    login, settings = read_settings(LEAST)
    assert login.servers == ("nats://one:4222", "nats://two:4222")
    assert settings.queues == (QueueName("TASKS", "high"), QueueName("TASKS", "normal"))
    assert (settings.slots, settings.grace_s, settings.listen) == (1, 25.0, ("127.0.0.1", 9465))


def test_all_that_is_wrong_is_named_at_once() -> None:
    given = {"AGENTDASH_QUEUES": "TASKS", "AGENTDASH_SLOTS": "0", "AGENTDASH_GRACE": "soon"}
    with pytest.raises(WorkerSettingsError) as caught:
        read_settings(given)
    lines = str(caught.value).splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "NATS_URL",
        "AGENTDASH_TENANT",
        "AGENTDASH_POOL",
        'AGENTDASH_QUEUES="TASKS"',
        'AGENTDASH_SLOTS="0"',
        'AGENTDASH_GRACE="soon"',
    ]
    assert "such as 30s, 5m or 4h" in lines[-1]


def test_secrets_are_never_shown() -> None:
    secrets = {"NATS_PASSWORD": "canary", "NATS_USER": "me", "NATS_TOKEN": "canary"}
    login, _ = read_settings(LEAST | secrets)
    assert "canary" not in repr(login)
    with pytest.raises(WorkerSettingsError) as caught:
        read_settings(LEAST | {"NATS_URL": "me:canary@host"})
    assert "canary" not in str(caught.value)


def test_what_is_cut_after_the_grace_can_be_handed_back_before_the_pod_is_killed() -> None:
    _, settings = read_settings(LEAST)
    seconds_that_kubernetes_gives = 30.0
    assert settings.grace_s + CUT_S < seconds_that_kubernetes_gives


class Read(dict[str, str]):
    """An environment that knows what was read of it."""

    def __init__(self) -> None:
        super().__init__(LEAST)
        self.names: set[str] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        self.names.add(name)
        return super().get(name, default)


def test_the_help_of_the_verb_names_every_variable_that_is_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = Read()
    Worker.from_env(_agent, environment)
    with pytest.raises(SystemExit):
        main(["worker", "--help"])
    words = set(re.findall(r"\b(?:NATS|AGENTDASH)_[A-Z_]+", capsys.readouterr().out))
    assert words == environment.names


async def _agent(_: Task, __: Session) -> None:
    """Does nothing."""


def test_models_and_their_rates_are_read() -> None:
    given = {
        "AGENTDASH_MODELS": '[{"name": "small", "tier": "nano", "input_price": 0.15}]',
        "AGENTDASH_RATES": '{"small": {"requests_per_minute": 60}}',
    }
    _, settings = read_settings(LEAST | given)
    assert settings.models == (
        ModelTerms(name="small", tier=ModelTier.NANO, input_price=Decimal("0.15")),
    )
    assert settings.rates == {"small": RateShare(requests_per_minute=60)}


@tabled(
    ("name", "text", "field", "value"),
    [
        ("AGENTDASH_LISTEN", "off", "listen", None),
        ("AGENTDASH_LISTEN", "[::]:80", "listen", ("::", 80)),
        ("AGENTDASH_GRACE", "2m", "grace_s", 120.0),
        ("AGENTDASH_WORKER", "pod-1.web", "worker", "pod-1.web"),
    ],
)
def test_each_variable_has_its_field(name: str, text: str, field: str, value: object) -> None:
    _, settings = read_settings(LEAST | {name: text})
    assert getattr(settings, field) == value
