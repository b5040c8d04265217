"""The rules of one pool alone: what holds for it, what its rule recommends, and its limits."""

from __future__ import annotations

from typing import Final

from support.mutation import Mutant

RECOMMEND_RULES: Final = (
    # what operators ask for
    Mutant(
        "a pause or a freeze ends at its time",
        "planning/given/overrides.py",
        "reached(intent.until):\n            return intent",
        "reached(intent.until) or True:\n            return intent",
        ("test_an_intent_ends_when_its_time_is_over()",),
    ),
    Mutant(
        "a pin ends at its time",
        "planning/given/overrides.py",
        "reached(intent.until):\n            found = intent",
        "reached(intent.until) or True:\n            found = intent",
        ("test_a_pin_ends_when_its_time_is_over()",),
    ),
    Mutant(
        "an intent for one pool does not concern other pools",
        "planning/given/overrides.py",
        "place = Scope(pool=scope.pool) if scope.pool is not None else Scope(tenant=scope.tenant)",
        "place = Scope(tenant=scope.tenant)",
        ("test_a_frozen_pool_stays_and_other_pools_get_none_of_its_part()",),
    ),
    # annotations
    Mutant(
        "a pause annotation that says false is off",
        "planning/given/annotations.py",
        "    if is_on(annotations, PAUSED_SCALE_IN):",
        "    if PAUSED_SCALE_IN in annotations:",
        ("test_a_switch_with_a_false_value_is_off(PAUSED_SCALE_IN, 'false')",),
    ),
    Mutant(
        "an unreadable number in an annotation changes nothing",
        "planning/given/annotations.py",
        "        return Halt(PAUSED_REPLICAS, unreadable=text)\n",
        "        return Halt(PAUSED_REPLICAS, grows=True, shrinks=True)\n",
        ("test_paused_replicas_that_are_no_number_change_nothing('many', 9)",),
    ),
    Mutant(
        "a freeze annotation on a Deployment is obeyed",
        "planning/given/annotations.py",
        "    if is_on(workload.annotations, FREEZE):",
        "    if False:",
        ("test_a_frozen_deployment_stays_and_its_reason_says_who_and_why(9)",),
    ),
    Mutant(
        "forced activation wakes a pool without work",
        "planning/given/overrides.py",
        "forced=bool(annotations) and is_on(annotations, FORCE_ACTIVATION)",
        "forced=False",
        ("test_forced_activation_wakes_a_pool_at_zero_and_min_applies(0, 1, Rule.NATIVE)",),
    ),
    Mutant(
        "a forced activation that says false is off",
        "planning/given/overrides.py",
        "forced=bool(annotations) and is_on(annotations, FORCE_ACTIVATION)",
        "forced=FORCE_ACTIVATION in annotations",
        ("test_a_forced_activation_that_is_off_wakes_nothing('false')",),
    ),
    Mutant(
        "forced activation wakes a pool of metrics as well",
        "planning/demand/demand.py",
        "active=forced or measured.active or",
        "active=measured.active or",
        ("test_forced_activation_wakes_a_pool_at_zero_and_min_applies(0, 1, Rule.HPA)",),
    ),
    Mutant(
        "forced activation wakes a pool that was scaled to zero by hand",
        "planning/recommend/idle.py",
        "        and not demand.forced\n",
        "",
        ("test_forced_activation_wakes_a_pool_that_was_scaled_to_zero_by_hand(Rule.NATIVE)",),
    ),
    Mutant(
        "an operator's pause is a ceiling to an annotation that keeps a number",
        "planning/limit/limit.py",
        "kept = current if halt.keep is None else min(halt.keep, by_operator)",
        "kept = current if halt.keep is None else halt.keep",
        (
            (
                "test_an_operators_pause_wins_except_over_a_hold_at_the_present_size("
                "{PAUSED_REPLICAS: '2'}, 0)"
            ),
        ),
    ),
    Mutant(
        "a pool that must not shrink still obeys max",
        "planning/limit/limit.py",
        "floor = min(current, given.override.bounds.max, by_operator)",
        "floor = min(current, by_operator)",
        ("test_a_pool_that_must_not_shrink_still_obeys_max()",),
    ),
    # schedules
    Mutant(
        "a schedule window is open on its days",
        "planning/given/schedules.py",
        "return local.weekday() in window.days and window.from_minute",
        "return local.weekday() not in window.days and window.from_minute",
        ("test_an_open_schedule_replaces_min_and_max()",),
    ),
    # activation and cooldown
    Mutant(
        "the cooldown starts at the last activity",
        "planning/recommend/idle.py",
        "return memory.last_active_at + pool.cooldown_s",
        "return memory.since + pool.cooldown_s",
        ("test_every_message_starts_the_cooldown_again()",),
    ),
    Mutant(
        "a pool that was never active waits for its whole initial cooldown",
        "planning/recommend/idle.py",
        "memory.since + pool.initial_cooldown_s",
        "memory.since + pool.initial_cooldown_s / 2",
        ("test_a_pool_never_active_waits_for_the_initial_cooldown_from_when_it_first_ran()",),
    ),
    Mutant(
        "the last replica stays until the cooldown has passed",
        "planning/recommend/native.py",
        "    if cooling:\n",
        "    if False:\n",
        ("test_while_inactive_work_cools_down_it_says_so()",),
    ),
    Mutant(
        "windows and policies do not delay the first replica",
        "planning/recommend/native.py",
        "replicas = max(sized.replicas, BOTTOM)",
        "replicas = sized.replicas",
        ("test_neither_windows_nor_policies_delay_the_first_replica()",),
    ),
    Mutant(
        "a size of zero set by hand is left alone",
        "planning/recommend/idle.py",
        "        and not given.memory.own_zero\n",
        "        and given.memory.own_zero\n",
        (
            "unit.planning.recommend.test_native:test_zero_by_hand_is_left_alone_where_min_is_more()",
        ),
    ),
    Mutant(
        "an activity that goes on lasted until the last plan",
        "planning/recommend/idle.py",
        "        return max(given.planned_at, memory.active_since) + pool.cooldown_s\n",
        "        return memory.active_since + pool.cooldown_s\n",
        ("test_every_message_starts_the_cooldown_again()",),
    ),
    Mutant(
        "while a schedule is open its min holds for an idle pool",
        "planning/recommend/idle.py",
        " or bounds.scheduled:\n",
        ":\n",
        ("test_a_min_that_a_schedule_sets_holds_for_an_idle_pool(Rule.NATIVE)",),
    ),
    Mutant(
        "a pool that the plan itself took to zero is not switched off",
        "planning/remember/writes.py",
        "asked=None, own_zero=replicas == 0, ours=replicas",
        "asked=None, own_zero=False, ours=replicas",
        ("test_a_pool_that_the_plan_scaled_to_zero_follows_a_min_that_is_raised()",),
    ),
    # windows and policies
    Mutant(
        "the downward window keeps its highest recommendation",
        "planning/recommend/behavior.py",
        "        elif replicas > down:\n",
        "        elif replicas > desired:\n",
        ("test_what_is_dropped_could_not_have_decided_anything(9)",),
    ),
    Mutant(
        "the downward window takes nothing away at once",
        "planning/recommend/behavior.py",
        "        elif replicas > down:\n",
        "        elif False:\n",
        ("test_a_lull_shorter_than_the_window_takes_nothing_away()",),
    ),
    Mutant(
        "the upward window takes its lowest recommendation",
        "planning/recommend/behavior.py",
        "return min(max(current, up), down)",
        "return min(max(current, desired), down)",
        ("test_an_upward_window_takes_the_lowest_recommendation()",),
    ),
    Mutant(
        "a change as old as the period no longer counts",
        "planning/recommend/behavior.py",
        "for event in events if not moment.reached(event.at + period_s))",
        "for event in events if not moment.passed(event.at + period_s))",
        ("test_a_change_one_period_ago_no_longer_counts()",),
    ),
    Mutant(
        "changes in the other direction give room",
        "planning/recommend/behavior.py",
        "        + changed_within(removed, policy.period_s, moment)\n",
        "",
        ("test_changes_of_the_other_direction_give_room()",),
    ),
    Mutant(
        "the policy that allows most decides unless the strictest is asked for",
        "planning/recommend/behavior.py",
        "(max if most else min)(limits, key=_by_limit)",
        "(min if most else max)(limits, key=_by_limit)",
        ("test_the_policy_that_decides_is_named()",),
    ),
    Mutant(
        "a disabled direction does not move",
        "planning/recommend/behavior.py",
        "    if rules.select_policy is SelectPolicy.DISABLED:\n"
        "        return current, None\n"
        "    if not rules.policies:\n"
        "        return 0, None\n",
        "    if not rules.policies:\n        return 0, None\n",
        ("test_a_disabled_direction_stays()",),
    ),
    Mutant(
        "a limit that is already exceeded forces no move in the other direction",
        "planning/recommend/behavior.py",
        "return max(limit, current), policy",
        "return limit, policy",
        ("test_a_limit_that_is_exceeded_already_forces_no_opposite_move()",),
    ),
    Mutant(
        "recommendations are remembered for the window",
        "planning/recommend/native.py",
        "    return Sized(replicas, wanted, history, bound)\n",
        "    return Sized(replicas, wanted, memory.recommendations, bound)\n",
        ("test_a_lull_shorter_than_the_window_takes_nothing_away()",),
    ),
    Mutant(
        "the memory keeps a low recommendation that can still decide",
        "planning/recommend/history.py",
        "        if run.replicas < lowest:\n"
        "            lowest = run.replicas\n"
        "        elif run.replicas > highest:\n",
        "        if run.replicas > highest:\n",
        ("test_what_is_dropped_could_not_have_decided_anything(9)",),
    ),
    Mutant(
        "replicas that were started by hand are kept for one window",
        "planning/recommend/native.py",
        "    memory = seeded(given.memory, current, moment.now)\n",
        "    memory = given.memory\n",
        ("test_replicas_that_were_started_by_hand_are_kept_for_one_window()",),
    ),
    Mutant(
        "a default window does not hold what was learned to be unneeded",
        "planning/recommend/native.py",
        "if demand.settled and not terms.pool.window_given:",
        "if False:",
        ("test_a_default_window_gives_way_to_what_was_learned_and_a_configured_one_does_not()",),
    ),
    Mutant(
        "a demand of a metric does not count as work to come",
        "planning/recommend/native.py",
        "if demand.active or rest is None or demand.expects_work:",
        "if demand.active or rest is None or (demand.settled and demand.work.demand):",
        ("test_the_cpu_of_idle_pods_does_not_keep_a_settled_pool_awake()",),
    ),
    Mutant(
        "work to come counts although a metric is silent",
        "planning/recommend/native.py",
        "    if not (demand.active or demand.expects_work) and _may_rest(",
        "    if not demand.active and _may_rest(",
        ("test_replicas_for_likely_work_start_while_a_metric_is_unknown()",),
    ),
    Mutant(
        "known work adds replicas during the cooldown although a metric is unknown",
        "planning/recommend/native.py",
        " and _may_rest(given, rest, moment):",
        ":",
        ("test_work_below_the_activation_adds_replicas_until_the_cooldown_ends()",),
    ),
    Mutant(
        "a cap of an operator is a ceiling",
        "planning/limit/limit.py",
        "    if cap is None or cap.replicas >= given.override.bounds.max:\n        return size",
        "    if True:\n        return size",
        ("test_a_cap_takes_idle_replicas_away_and_wins_over_min_and_pins()",),
    ),
    Mutant(
        "without a behavior block the HPA's default limits hold",
        "planning/recommend/hpa.py",
        "    if pool.without_behavior:\n        window_s",
        "    if False:\n        window_s",
        ("test_without_a_behavior_block_growth_is_twice_the_size_or_four()",),
    ),
    # limits
    Mutant(
        "max is a ceiling",
        "planning/limit/limit.py",
        "if bound is Bound.MAX or replicas > bounds.max:",
        "if bound is Bound.MAX:",
        ("test_a_lost_memory_holds_a_pool_above_its_max()",),
    ),
    Mutant(
        "a pin does not exceed max",
        "planning/limit/limit.py",
        "            replicas, bound = min(wanted, most), kind\n",
        "            replicas, bound = wanted, kind\n",
        ("test_pinned_spares_stand_on_top_of_the_work_and_ceilings_win()",),
    ),
    Mutant(
        "spares stand on top of the work, not of replicas that are only kept",
        "planning/limit/spares.py",
        "    if needed is None or needed > recommendation:\n        return minimum\n",
        "    if needed is None:\n        return max(recommendation, minimum)\n",
        ("test_a_blind_pool_with_spares_does_not_grow_by_them_again_and_again(Rule.NATIVE)",),
    ),
    Mutant(
        "spares do not exceed what a window or a policy grants",
        "planning/limit/spares.py",
        "    if needed is None or needed > recommendation:\n",
        "    if needed is None:\n",
        ("test_spares_open_no_way_around_a_policy_on_growth(Rule.NATIVE)",),
    ),
    Mutant(
        "spares do not raise what an upward window keeps low",
        "planning/limit/spares.py",
        "    if needed is None or needed > recommendation:\n        return minimum\n",
        "    if needed is None or needed > recommendation:\n"
        "        return max(needed or 0, minimum)\n",
        ("test_spares_open_no_way_around_an_upward_window(Rule.NATIVE, 20)",),
    ),
    Mutant(
        "spares that run stay while the arrival rate is near",
        "planning/limit/spares.py",
        "SLACK: Final = 1.25",
        "SLACK: Final = 1.0",
        ("test_spares_that_run_stay_while_the_rate_is_near()",),
    ),
    Mutant(
        "replicas that rule native keeps ready count as spares",
        "planning/limit/spares.py",
        "    return max(needed, minimum)\n",
        "    return max(recommendation, minimum)\n",
        ("test_replicas_that_the_rule_keeps_ready_are_among_the_spares()",),
    ),
    Mutant(
        "a pause stops the pool",
        "planning/limit/limit.py",
        "    size = _paused(given, size, reasons)\n",
        "",
        ("test_a_pause_takes_idle_replicas_and_lets_busy_ones_finish()",),
    ),
    Mutant(
        "a pause with keep leaves that many replicas",
        "planning/limit/limit.py",
        "kept = min(keep, most)",
        "kept = 0",
        ("test_a_pause_that_keeps_some_is_floor_and_ceiling_at_once()",),
    ),
    Mutant(
        "a pause keeps no more than max",
        "planning/limit/limit.py",
        "kept = min(keep, most)",
        "kept = keep",
        ("test_a_pause_keeps_no_more_than_max_and_says_so(99, 8, Rule.NATIVE)",),
    ),
    Mutant(
        "a pause that keeps fewer than none holds the present size",
        "planning/limit/limit.py",
        "    if keep < 0:\n",
        "    if False:\n",
        ("test_a_pause_that_keeps_fewer_than_none_holds_the_present_size(8, Rule.NATIVE)",),
    ),
    # long blindness
    Mutant(
        "a blind pool is raised only after its time",
        "planning/limit/blind.py",
        " or not moment.passed(since + policy.after_s)",
        "",
        ("test_after_its_time_a_blind_pool_is_raised_and_not_before(1)",),
    ),
    Mutant(
        "a larger blind pool is not lowered",
        "planning/limit/blind.py",
        "    if replicas > least:\n        return Lifted(replicas, since)\n",
        "",
        ("test_a_larger_pool_is_never_lowered()",),
    ),
    Mutant(
        "a reading in between restarts the time of blindness",
        "planning/limit/blind.py",
        "        return Lifted(replicas, None)\n",
        "        return Lifted(replicas, given.memory.blind_since)\n",
        ("test_a_good_answer_in_between_starts_the_time_again()",),
    ),
)
