"""What an intent would change now, in numbers that a person can check by hand."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool, Tenant, Tier
from controller.model.ids import PoolKey
from controller.model.intents import Intent, Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Fresh
from controller.model.scarcity import Capacity, Resources
from controller.planning.whatif import Effect, changed_intents, effect_of
from support.asked import a_budget, a_cap, a_freeze, a_pause, a_pin, intents_of, no_growth_of
from support.crews import POOL as DRAINED
from support.crews import crew, pod, state
from support.table import tabled
from support.world import make_fleet
from unit.planning.story import OBSERVED_FOR_LONG, START, behavior, make_pool

ALL = Scope()
ACME = Scope(tenant="acme")


def pool(name: str) -> Pool:
    return make_pool(name, behavior=behavior(down_window_s=0), cooldown_s=0.0)


def seen(current: int, *, pending: int, in_flight: int) -> PoolObservation:
    depth = QueueDepth(pending=pending, in_flight=in_flight)
    return PoolObservation(
        queue=Fresh(value=depth, at=START),
        workload=Fresh(value=Workload(replicas=current, current=current), at=START),
        pods=Fresh(value=Pods(ready=current), at=START),
    )


POOLS = (pool("busy"), pool("idle"), pool("growing"))
SEEN = {
    POOLS[0].key: seen(5, pending=1, in_flight=4),
    POOLS[1].key: seen(6, pending=0, in_flight=0),
    POOLS[2].key: seen(2, pending=7, in_flight=0),
}


def effect(
    intent: Intent | None,
    *,
    standing: Intents = Intents(),  # noqa: B008 - a frozen value
    withdrawn: Intent | None = None,
    pools: dict[PoolKey, PoolObservation] | None = None,
    capacity: Capacity = Capacity(),  # noqa: B008 - a frozen value
) -> Effect:
    about = intent or withdrawn
    assert about is not None
    tier = Tier(name="growth", priority=500)
    tenant = Tenant(name="acme", tier=tier, namespace="tenant-acme")
    found = SEEN if pools is None else pools
    return effect_of(
        about.key,
        intent,
        observation=Observation(pools=found),
        fleet=Fleet(tiers=(tier,), tenants=(tenant,), pools=POOLS, capacity=capacity),
        intents=standing,
        memory=Memory(pools=dict.fromkeys(SEEN, OBSERVED_FOR_LONG)),
        now=START,
    )


def test_a_pause_sends_idle_replicas_away_and_lets_busy_ones_finish() -> None:
    found = effect(a_pause(scope=ACME))
    # without it: busy stays at 5, idle goes to 0 by itself, growing goes to 7
    assert found.words() == (
        "3 pools, 3 replicas idle now go, 4 replicas busy now finish first,"
        " 5 replicas that would start do not"
    )
    busy, growing = found.changed
    assert (busy.goes, busy.finishes, busy.target_before, busy.target_after) == (1, 4, 5, 0)
    assert (growing.goes, growing.waits, growing.finishes) == (2, 5, 0)


def test_a_freeze_leaves_everything_as_it_is() -> None:
    assert effect(a_freeze(scope=ALL)).words() == (
        "3 pools, 5 replicas that would start do not, 6 replicas that would go stay"
    )


AT_REST = {pool.key: seen(0, pending=0, in_flight=0) for pool in POOLS}


@tabled(
    ("intent", "why"),
    [
        (a_freeze(scope=ALL), "none of them changes its size now"),
        (a_pause(scope=ACME), "they are at zero or stopped already"),
        (no_growth_of(scope=ACME), "none of them grows now"),
        (a_budget(tenant="acme", tokens=10**9), "a day's tokens hold none of them now"),
    ],
)
def test_an_effect_that_is_nothing_for_a_tenant_or_the_fleet_says_why(
    intent: Intent, why: str
) -> None:
    assert effect(intent, pools=AT_REST).words() == f"3 pools, nothing changes now: {why}"


def test_a_pause_below_a_freeze_names_the_freeze() -> None:
    frozen = Intents(asked=(a_freeze(scope=ALL, who="eve", why="upgrade"),))
    words = effect(a_pause(scope=ACME), standing=frozen).words()
    assert words == "3 pools, only targets change now: frozen by eve (upgrade)"


@tabled(
    ("intent", "words"),
    [
        (a_pin(pool=POOLS[0].key, replicas=2), "1 pool, 2 replicas start now"),
        (a_pin(pool=POOLS[1].key, replicas=1), "1 pool, 1 replica that would go stays"),
        (
            a_cap(pool=POOLS[0].key, replicas=5),
            (
                "1 pool, nothing changes now: 1 pending + 4 in flight, 1 task per replica"
                " (1 slot): 5 replicas"
            ),
        ),
        (
            a_pin(pool=POOLS[0].key, replicas=100_000),
            "1 pool, 15 replicas start now: its max is 20",
        ),
        (
            a_cap(pool=POOLS[0].key, replicas=100),
            "1 pool, nothing changes now: its max is 20",
        ),
        (
            a_cap(pool=POOLS[0].key, replicas=1),
            "1 pool, 1 replica idle now goes, 3 replicas busy now finish first",
        ),
    ],
)
def test_one_pool(intent: Intent, words: str) -> None:
    assert effect(intent).words() == words


def test_taking_back_is_the_other_way_round() -> None:
    pause = a_pause(scope=ACME)
    found = effect(None, withdrawn=pause, standing=intents_of(pauses=(pause,)))
    assert found.words() == ("3 pools, 5 replicas start now, 3 replicas that would go stay")


@tabled(
    ("intent", "standing", "why"),
    [
        (a_pause(scope=ACME), a_pause(scope=ACME, who="eve", why="a: b"), "paused by eve (a: b)"),
        (a_freeze(scope=ALL), a_freeze(scope=ALL, who="eve", why="up"), "frozen by eve (up)"),
    ],
)
def test_what_is_stopped_already_says_by_whom_and_nothing_of_one_pool_alone(
    intent: Intent, standing: Intent, why: str
) -> None:
    nothing = effect(intent, standing=Intents(asked=(standing,)))
    assert nothing.words() == f"3 pools, nothing changes now: {why}"


def test_taking_back_what_changes_nothing_says_what_holds_then() -> None:
    pause, freeze = a_pause(scope=ACME), a_freeze(scope=ALL, who="eve", why="up")
    both = Intents(asked=(pause, freeze))
    found = effect(None, withdrawn=a_freeze(scope=ACME), standing=both)
    assert found.words() == "3 pools, nothing changes now: frozen by eve (up)"
    one = a_cap(pool=POOLS[1].key, replicas=9)
    still = effect(None, withdrawn=one, standing=Intents(asked=(one, freeze)))
    assert (
        still.words() == "1 pool, nothing changes now: frozen by eve (up): it stays at 6 replicas"
    )
    rest = effect(None, withdrawn=pause, standing=Intents(asked=(pause,)), pools=AT_REST)
    assert rest.words() == "3 pools, nothing changes now: they need no other size without it"


def test_an_intent_takes_the_place_of_the_one_at_its_key_and_of_no_other() -> None:
    first, other = a_pause(scope=ACME, keep=1), a_pause(scope=ALL)
    asked = changed_intents(intents_of(pauses=(first, other)), first.key, a_pause(scope=ACME))
    assert asked == intents_of(pauses=(other, a_pause(scope=ACME)))
    assert changed_intents(asked, first.key, None) == intents_of(pauses=(other,))


def test_what_it_does_to_other_pools_counts_too() -> None:
    """Two pools share ten places: what one may not have, the other gets."""
    places = Capacity(resources=Resources(replicas=10))
    want = {key: seen(5, pending=20, in_flight=0) for key in list(SEEN)[:2]}
    found = effect(a_pause(scope=Scope(pool=POOLS[0].key)), pools=want, capacity=places)
    assert "1 other pool among them" in found.words()
    assert {each.pool for each in found.changed} == set(want)


def test_a_pool_that_is_not_known_is_named_as_such() -> None:
    found = effect(a_pause(scope=ALL), pools={POOLS[0].key: SEEN[POOLS[0].key]})
    assert found.unknown == (POOLS[1].key, POOLS[2].key)
    assert found.words().endswith(", 2 not known well enough to say")


def paused(seen: PoolObservation, pool: Pool = DRAINED) -> Effect:
    """The effect of a pause on one pool whose workers say what they do."""
    intent = a_pause(scope=Scope(pool=pool.key))
    return effect_of(
        intent.key,
        intent,
        observation=Observation(pools={pool.key: seen}),
        fleet=make_fleet(pool),
        intents=Intents(),
        memory=Memory(pools={pool.key: OBSERVED_FOR_LONG}),
        now=START,
    )


def test_workers_that_must_stop_first_are_counted_as_they_are_now() -> None:
    """Idle workers are told to stop, which takes a moment: they are not busy for that."""
    pods = [pod(name) for name in "abcdef"]
    states = [state("a", 1), state("b", 1), *(state(name) for name in "cdef")]
    assert (
        paused(crew(pods, states))
        .words()
        .startswith("1 pool, 4 replicas idle now go, 2 replicas busy now finish first")
    )


def test_idle_pods_of_a_stateful_set_go_after_a_busy_one_above_them() -> None:
    pods = [pod(f"research-{number}", ordinal=number) for number in range(3)]
    states = [state("research-0"), state("research-1"), state("research-2", 1)]
    seen = crew(pods, states)
    workload = Workload(replicas=3, current=3, updated=3, first_ordinal=0)
    seen = replace(seen, workload=Fresh(value=workload, at=START))
    assert (
        paused(seen, replace(DRAINED, deployment="", statefulset="research"))
        .words()
        .startswith("1 pool, 1 replica busy now finishes first, 2 replicas idle now go after them")
    )


def test_in_a_rollout_all_go_together_when_the_busy_ones_have_finished() -> None:
    pods = [pod("a", generation="1"), pod("b", generation="2")]
    assert (
        paused(crew(pods, [state("a", 1), state("b")]))
        .words()
        .startswith("1 pool, 1 replica busy now finishes first, 1 replica idle now goes after them")
    )
