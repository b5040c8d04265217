"""The tests notice a rule of the planner that is left out: each is broken once, and the test that
is named for it fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unit.planning.more_mutants import MORE_MUTANTS
from unit.planning.mutation import CAUGHT, Mutant

TESTS = Path(__file__).parents[2]
pytestmark = pytest.mark.mutants
MUTANTS = (
    # demand
    Mutant(
        "work in flight is not work",
        "demand",
        "messages = depth.pending + depth.in_flight",
        "messages = depth.pending",
        "test_demand:test_demand_is_the_work_by_the_target_rounded_up(0, 4, 1, 4)",
    ),
    Mutant(
        "demand is rounded down",
        "demand",
        "-(-messages // per_replica)",
        "messages // per_replica",
        "test_demand:test_demand_is_the_work_by_the_target_rounded_up(7, 0, 5, 2)",
    ),
    Mutant(
        "absurd numbers are believed",
        "demand",
        "0 <= depth.pending < IMPLAUSIBLE_MESSAGES",
        "depth.pending == depth.pending",
        "test_demand:test_an_absurd_number_is_refused_and_takes_nothing_away('pending', -1)",
    ),
    Mutant(
        "a wake-up that was counted already is counted again",
        "demand",
        "woken_at >= at",
        "woken_at <= at",
        "test_demand:test_a_wake_up_before_the_count_was_asked_for_is_already_counted()",
    ),
    Mutant(
        "a wake-up beside no reading is nothing",
        "demand",
        "return _woken(seen, now, reasons, counted=False)",
        "return Work(None, False, False, None)",
        "test_demand:test_a_wake_up_wakes_a_pool_whose_queue_cannot_be_read()",
    ),
    # activation and cooldown
    Mutant(
        "as many messages as the activation wake",
        "activation",
        "work.messages > pool.activation",
        "work.messages >= pool.activation",
        "test_activation:test_as_many_messages_as_the_activation_do_not_wake(50)",
    ),
    Mutant(
        "the cooldown ignores the last activity",
        "activation",
        "return memory.last_active_at + pool.cooldown_s - now",
        "return memory.since + pool.cooldown_s - now",
        "test_memory_in_plan:test_every_message_begins_the_cooldown_anew()",
    ),
    Mutant(
        "the initial cooldown is over half way",
        "activation",
        "memory.since + pool.initial_cooldown_s",
        "memory.since + pool.initial_cooldown_s / 2",
        "test_activation:"
        "test_a_pool_never_active_waits_for_the_initial_cooldown_from_when_it_first_ran()",
    ),
    Mutant(
        "the last replica goes at once",
        "recommend",
        "    elif left_s >= 0:\n",
        "    elif False:\n",
        "test_activation:test_while_inactive_work_cools_down_it_says_so()",
    ),
    Mutant(
        "the first replica waits for windows and policies",
        "recommend",
        "draft.replicas = max(_by_behavior(draft, draft.work.demand or 0), BOTTOM)",
        "draft.replicas = _by_behavior(draft, draft.work.demand or 0)",
        "test_activation:test_neither_windows_nor_policies_delay_the_first_replica()",
    ),
    Mutant(
        "zero by hand is undone",
        "recommend",
        "        and not draft.memory.own_zero\n",
        "        and draft.memory.own_zero\n",
        "test_behavior_history:test_zero_by_hand_is_left_alone_where_min_is_more()",
    ),
    # behavior
    Mutant(
        "the window downwards looks at the newest recommendation alone",
        "behavior",
        "elif replicas > down and last_at > down_cutoff:",
        "elif replicas > down and last_at > down_cutoff and run is history[-1]:",
        "test_behavior_history:test_a_lull_shorter_than_the_window_takes_nothing_away()",
    ),
    Mutant(
        "the window upwards takes the highest wish",
        "behavior",
        "return min(max(current, up), down)",
        "return min(max(current, desired), down)",
        "test_behavior_history:test_an_upward_window_takes_the_lowest_wish()",
    ),
    Mutant(
        "a change one period ago still counts",
        "behavior",
        "if event.at > cutoff)",
        "if event.at >= cutoff)",
        "test_behavior:test_a_change_one_period_ago_no_longer_counts()",
    ),
    Mutant(
        "changes of the other direction give no room",
        "behavior",
        "        + changed_within(removed, policy.period_s, now)\n",
        "",
        "test_behavior:test_changes_of_the_other_direction_give_room()",
    ),
    Mutant(
        "the strictest policy decides where the widest should",
        "behavior",
        "(max if most else min)(limits, key=_by_limit)",
        "(min if most else max)(limits, key=_by_limit)",
        "test_behavior:test_the_policy_that_decides_is_named()",
    ),
    Mutant(
        "a direction that is disabled moves",
        "behavior",
        "    if rules.select_policy is SelectPolicy.DISABLED:\n        return current, None\n"
        "    if not rules.policies:\n        return 0, None\n",
        "    if not rules.policies:\n        return 0, None\n",
        "test_behavior_history:test_a_disabled_direction_stays()",
    ),
    Mutant(
        "a limit that is exceeded forces the opposite move",
        "behavior",
        "return max(limit, current), policy",
        "return limit, policy",
        "test_behavior:test_a_limit_that_is_exceeded_already_forces_no_opposite_move()",
    ),
    # what is remembered
    Mutant(
        "recommendations are not remembered",
        "recommend",
        "draft.history = remember(history, raw, now, longest_window_s(behavior))",
        "draft.history = history",
        "test_behavior_history:test_a_lull_shorter_than_the_window_takes_nothing_away()",
    ),
    Mutant(
        "a lower recommendation is dropped for a later one",
        "history",
        "if run.replicas < lowest or run.replicas > highest:",
        "if run.replicas > highest:",
        "test_history:test_what_is_dropped_could_not_have_decided_anything(9)",
    ),
    Mutant(
        "a write counts before it is seen",
        "history",
        "if undone is None and replicas == asked.before and now - asked.at < CONFIRM_WITHIN_S:",
        "if False:",
        "test_history:test_a_write_that_is_not_seen_yet_is_not_counted_and_not_asked_for_anew()",
    ),
    Mutant(
        "a write whose answer was lost is forgotten",
        "history",
        "if replicas == asked.after or replicas in asked.earlier:",
        "if replicas == asked.after:",
        "test_history:test_a_write_whose_answer_was_lost_is_not_stepped_twice()",
    ),
    Mutant(
        "a step of the clock ages what is remembered",
        "history",
        "        last_active_at=None if active_at is None else active_at + by_s,\n",
        "",
        "test_memory_in_plan:test_a_step_of_the_clock_ages_no_activity()",
    ),
    Mutant(
        "what somebody started by hand is taken away at once",
        "recommend",
        "    draft.memory = seed(draft.memory, draft.current, now)\n",
        "",
        "test_memory_in_plan:test_replicas_that_somebody_started_by_hand_are_kept_for_one_window()",
    ),
    Mutant(
        "the memory given is not looked at",
        "planner",
        "before = memory.pools.get(pool.key)",
        "before = None",
        "test_behavior_history:test_a_lull_shorter_than_the_window_takes_nothing_away()",
    ),
    # limits and what operators ask for
    Mutant(
        "max is no ceiling",
        "limit",
        "if draft.bound is Bound.MAX or draft.replicas > draft.max:",
        "if draft.bound is Bound.MAX:",
        "test_gates:test_a_blind_pool_above_max_is_held()",
    ),
    Mutant(
        "a pin stands above max",
        "limit",
        "        draft.replicas, draft.bound = min(wanted, draft.max), bound\n",
        "        draft.replicas, draft.bound = wanted, bound\n",
        "test_sharing:test_pinned_spares_stand_on_top_of_the_work_and_ceilings_win()",
    ),
    Mutant(
        "a pin stands on what is merely kept",
        "limit",
        "    needed = draft.min\n",
        "    needed = max(draft.replicas, draft.min)\n",
        "test_held_spares:"
        "test_a_blind_pool_with_spares_does_not_grow_by_them_again_and_again(Rule.NATIVE)",
    ),
    Mutant(
        "spares open a way around a policy on growth",
        "limit",
        "draft.work.counted and draft.recommendation >= draft.stable",
        "draft.work.counted",
        "test_held_spares:test_spares_open_no_way_around_a_policy_on_growth(Rule.NATIVE)",
    ),
    Mutant(
        "a pause leaves the pool running",
        "limit",
        "        _pause(draft)\n",
        "",
        "test_sharing:test_a_pause_takes_idle_replicas_and_lets_busy_ones_finish()",
    ),
    Mutant(
        "a pause keeps nothing",
        "limit",
        "kept = max(pause.keep or 0, 0)",
        "kept = 0",
        "test_sharing:test_a_pause_that_keeps_some_is_floor_and_ceiling_at_once()",
    ),
    Mutant(
        "an intent has no end",
        "overrides",
        "if each.until is None or now < each.until",
        "if True",
        "test_sharing:test_an_intent_ends_when_its_time_is_over()",
    ),
    Mutant(
        "an intent for a pool is one for its tenant",
        "overrides",
        "        return scope.pool == pool.key\n",
        "        return scope.pool.startswith(pool.tenant)\n",
        "test_sharing:test_a_frozen_pool_stays_and_the_others_are_given_none_of_its_part()",
    ),
    # schedules
    Mutant(
        "a window never opens",
        "schedules",
        "return local.weekday() in window.days and window.from_minute",
        "return local.weekday() not in window.days and window.from_minute",
        "test_sharing:test_an_open_schedule_replaces_min_and_max()",
    ),
    # budgets and money
    Mutant(
        "a spent budget leaves one replica",
        "budget",
        "first_passes=status.state is not BudgetState.HARD",
        "first_passes=True",
        "test_budget:test_an_empty_budget_takes_floors_and_pins_too()",
    ),
    Mutant(
        "a warned budget is not paced",
        "budget",
        "    if state is BudgetState.WARN:\n        return pace\n",
        "",
        "test_sharing:test_a_daily_budget_paces_and_then_stops(800_000, 1, Bound.BUDGET)",
    ),
    Mutant(
        "a soft budget stops all the same",
        "budget",
        "return BudgetState.HARD if budget.hard else BudgetState.WARN",
        "return BudgetState.HARD",
        "test_sharing:test_a_budget_that_is_not_hard_warns_and_paces_only()",
    ),
    Mutant(
        "money is not counted",
        "cost",
        "+ 60 * tokens * exact(usd_per_token",
        "+ 0 * tokens * exact(usd_per_token",
        "test_sharing:test_money_per_hour_pays_for_so_many_replicas()",
    ),
    # what is scarce
    Mutant(
        "a silent ledger lets pools grow",
        "share",
        "        _hold_growth(draft, scarcity)\n",
        "        pass\n",
        "test_sharing:test_a_silent_ledger_holds_growth_and_nothing_else({})",
    ),
    Mutant(
        "a ledger never grows old",
        "scarcity",
        "or not now - reading.at <= LEDGER_LIMIT_S",
        "",
        "test_sharing:test_a_silent_ledger_holds_growth_and_nothing_else(used(0, at=NOON - 601))",
    ),
    Mutant(
        "the larger of two quotas counts",
        "scarcity",
        "yield name, min(known)",
        "yield name, max(known)",
        "test_sharing:test_the_smaller_of_a_quota_in_the_file_and_the_namespaces_counts()",
    ),
    Mutant(
        "a row that nobody knows is a row of nothing",
        "scarcity",
        "known = [amount for amount in amounts if amount is not None and amount >= 0]",
        "known = [amount or 0 for amount in amounts]",
        "test_sharing:test_the_rooms_of_nodes_is_the_limit_where_it_is_smaller()",
    ),
    # sharing, as the plan asks for it
    Mutant(
        "what a held pool has is given away",
        "share",
        "fixed=stands_still(draft)",
        "fixed=False",
        "test_sharing:test_a_frozen_pool_stays_and_the_others_are_given_none_of_its_part()",
    ),
    Mutant(
        "a pool whose Deployment is unknown takes no part",
        "share",
        "    claims += [_fixed(each, scarcity) for each in standing]\n",
        "",
        "test_sharing:test_a_pool_whose_deployment_is_not_known_keeps_its_part()",
    ),
    Mutant(
        "tiers are equal",
        "share",
        "tier=scarcity.tiers.get(pool.tenant, 0),\n        demand=draft",
        "tier=0,\n        demand=draft",
        "test_sharing:test_capacity_goes_to_the_higher_tier_but_every_tenant_with_work_keeps_one()",
    ),
    Mutant(
        "what refused is not told",
        "share",
        "        draft.because(code, allotment.replicas, **numbers)\n",
        "        pass\n",
        "test_sharing:test_the_smaller_of_a_quota_in_the_file_and_the_namespaces_counts()",
    ),
    # steps
    Mutant(
        "the busy are not seen",
        "stride",
        "busy=busy_replicas(draft) if goes else 0,",
        "busy=0,",
        "test_sharing:test_busy_replicas_are_not_killed_for_somebody_elses_share()",
    ),
    Mutant(
        "a minimum runtime is over at once",
        "stride",
        "draft.now - pod.ready_at < runtime_s",
        "draft.now - pod.ready_at < 0",
        "test_sharing:test_replicas_that_just_began_are_not_taken_back_for_sharing()",
    ),
    Mutant(
        "a pool grows into room where others still stand",
        "stride",
        "scarcity.room if crowded else ()",
        "()",
        "test_sharing:test_capacity_goes_to_the_higher_tier_but_every_tenant_with_work_keeps_one()",
    ),
    # gates
    Mutant(
        "nothing is frozen",
        "gates",
        "            _frozen(draft)\n            or _pods_unknown",
        "            _pods_unknown",
        "test_sharing:test_a_frozen_pool_stays_and_the_others_are_given_none_of_its_part()",
    ),
    Mutant(
        "silence takes away",
        "gates",
        "            or _blind(draft)\n",
        "",
        "test_gates:test_silence_never_takes_anything_away(Why.TIMED_OUT)",
    ),
    Mutant(
        "half a view of the pods is enough",
        "gates",
        "            or _pods_unknown(draft)\n",
        "",
        "test_gates:test_half_a_view_of_the_pods_writes_nothing(9)",
    ),
    Mutant(
        "a lost memory holds nothing",
        "gates",
        "            or _warming_up(draft)\n",
        "",
        "test_gates:test_a_lost_memory_takes_nothing_away_for_one_window()",
    ),
    Mutant(
        "pods that crash are fed more",
        "gates",
        "            or _not_becoming_ready(draft)\n",
        "",
        "test_sharing:test_pods_that_fit_nowhere_stop_growth_but_nothing_else()",
    ),
    Mutant(
        "a pod that was not looked at yet is stuck",
        "gates",
        "return pod.reason == UNSCHEDULABLE",
        "return True",
        "test_sharing:test_a_pod_that_the_scheduler_has_not_seen_yet_is_not_stuck()",
    ),
    Mutant(
        "an impossible size is obeyed",
        "planner",
        "isinstance(workload, Fresh) and 0 <= workload.value.replicas <= REPLICAS_LIMIT",
        "isinstance(workload, Fresh)",
        "test_gates:test_a_deployment_of_an_impossible_size_is_refused(-1)",
    ),
    # rule hpa
    Mutant(
        "a broken metric is as if it were not there",
        "proposals",
        "counted = first is None and (draft.work.counted or not queue_counts)",
        "counted = draft.work.counted or not queue_counts",
        "test_rule_hpa:"
        "test_a_broken_metric_beside_rule_native_lets_the_queue_grow_the_pool_alone()",
    ),
    Mutant(
        "the least proposal wins",
        "proposals",
        "demand=max(wishes, default=None)",
        "demand=min(wishes, default=None)",
        "test_rule_hpa:test_memory_beside_rule_native_is_a_safety_metric()",
    ),
    Mutant(
        "a tolerance of its own is not looked at",
        "proposals",
        "return default if rules.tolerance is None else float(rules.tolerance)",
        "return default",
        "test_rule_hpa:test_a_tolerance_of_its_own_replaces_the_clusters()",
    ),
    Mutant(
        "without a behavior block there is no limit",
        "recommend_hpa",
        "behavior=None if pool.without_behavior else pool.behavior",
        "behavior=pool.behavior",
        "test_rule_hpa:test_without_a_behavior_block_growth_is_twice_the_size_or_four()",
    ),
    # words
    Mutant(
        "an absurd number is printed",
        "explain",
        "if not -_ABSURD < number < _ABSURD:  # NaN as well",
        "if False:",
        "test_explain:test_a_number_that_is_none_is_a_question_mark(math.nan)",
    ),
    Mutant(
        "the target is not shown where it is not reached",
        "explain",
        "if following == current and following == decision.target:",
        "if following == current:",
        "test_explain:test_a_headline_is_the_numbers_and_the_last_rule("
        "decided(3, 0, 1, 3), 'now 3 → next 3 (target 1, wanted 0)')",
    ),
    *MORE_MUTANTS,
)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """What came of each, by what it is; all of them in one process that starts afresh."""
    ran = subprocess.run(
        [sys.executable, "-m", "unit.planning.mutation"],
        input="\n".join(map(json.dumps, MUTANTS)),
        cwd=TESTS.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert ran.returncode == 0, ran.stderr
    answers = map(json.loads, ran.stdout.splitlines())
    return {mutant.what: answer for mutant, answer in zip(MUTANTS, answers, strict=True)}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.what for mutant in MUTANTS])
def test_a_broken_rule_is_noticed_by_the_test_named_for_it(
    mutant: Mutant, outcomes: dict[str, str]
) -> None:
    assert outcomes[mutant.what] == CAUGHT
