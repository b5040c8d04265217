"""The summary of a demo without a screen."""

from __future__ import annotations

from decimal import Decimal

from agentdash.demo.process import SpentTokens, WorldReport, summary

WORLD = WorldReport(
    published=9,
    done=8,
    pods_started=5,
    waits_s={"acme": [1.0, 2.0, 9.0], "globex": []},
    priority_waits_s={"acme/research": {"high": [1.0], "normal": [2.0, 9.0]}},
    lost=0,
    twice=0,
    reclaimed=3,
    ordered=2,
    resumed=2,
    calls=12,
    refused_calls=4,
    tokens={"nano": 600, "standard": 300, "premium": 100},
    usd=Decimal(1),
    usd_if_large=Decimal(4),
)


def lines(world: WorldReport) -> list[str]:
    return summary(
        world,
        seconds=60.2,
        decisions=7,
        writes=6,
        tiers={"acme": "enterprise", "globex": "growth"},
        budgets=[SpentTokens(tenant="globex", used=150_000, cap=200_000)],
    )


def test_it_says_all_that_happened() -> None:
    assert lines(WORLD) == [
        "60 s: 9 tasks, 8 done, 7 decisions, 6 patches, 5 pods started",
        "waits, p50 and p95: acme (enterprise) 2.0 s / 9.0 s, globex (growth) - / -",
        "waits of acme/research by priority, p50 and p95: high 1.0 s / 1.0 s, normal 9.0 s / 9.0 s",
        "promises: 0 tasks lost, 0 results stored twice, 0 busy workers stopped by a scale-down",
        (
            "a node was taken away: 3 workers stopped at work, 2 by the controller's order before "
            "it ended, 2 tasks went on from their checkpoint"
        ),
        "provider: 12 calls, 4 refused (429)",
        "tokens: 1,000 (nano 60%, standard 30%, premium 10%); 75% saved against premium alone",
        "budget: globex used 150,000 of 200,000 tokens",
    ]


def test_what_could_not_be_counted_is_not_zero() -> None:
    said = lines(WorldReport())
    assert not [each for each in said if "by priority" in each]
    assert said[2].startswith("promises: unknown tasks lost, unknown results stored twice")
    assert not [each for each in said if each.startswith("tokens")], "nothing was answered"
