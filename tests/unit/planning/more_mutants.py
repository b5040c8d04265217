"""What pools have learned, and the rules beside the plan's main road, each broken once: more of the
planner's mutants.
"""

from __future__ import annotations

from typing import Final

from unit.planning.mutation import Mutant

MORE_MUTANTS: Final = (
    # what a pool has learned
    Mutant(
        "nine tasks done are enough to go by the past",
        "foresight",
        "SETTLED_AFTER: Final = 10",
        "SETTLED_AFTER: Final = 3",
        "test_learned_beside_metrics:test_less_than_ten_tasks_done_are_not_gone_by()",
    ),
    Mutant(
        "a message that is delivered again has arrived",
        "foresight",
        "        delivered = min(delivered, depth.sequence - before.sequence)\n",
        "        pass\n",
        "test_foresight:test_a_message_that_is_delivered_again_and_again_is_no_arrival()",
    ),
    Mutant(
        "a consumer that was made anew is a burst",
        "foresight",
        "    if delivered < 0:\n        return Counters(0, 0)\n",
        "    delivered = abs(delivered)\n",
        "test_foresight:test_a_consumer_that_was_made_anew_is_no_burst()",
    ),
    Mutant(
        "an absurd counter is learned from",
        "foresight",
        "delivered is not None and 0 <= delivered < _COUNTER_LIMIT and",
        "delivered is not None and",
        "test_foresight:test_a_counter_that_cannot_be_leaves_the_plain_count(-1)",
    ),
    Mutant(
        "while nothing happens the rule is asked all the same",
        "foresight",
        "_still_holds(before, depth, current, now) or not _is_turn(pool, before, now)",
        "not _is_turn(pool, before, now)",
        "test_foresight:test_while_nothing_happens_nothing_new_is_remembered()",
    ),
    Mutant(
        "between two turns a burst waits",
        "foresight",
        "    start = max(before.start, base)\n",
        "    start = before.start\n",
        "test_learned_beside_metrics:test_a_burst_between_two_turns_is_served_at_once()",
    ),
    Mutant(
        "the slowest start counts",
        "foresight",
        "return median(starts) if starts else None",
        "return max(starts) if starts else None",
        "test_foresight:test_the_time_to_ready_is_the_pods_median_and_outlives_them()",
    ),
    Mutant(
        "a step of the clock ages what was learned",
        "foresight",
        "        at=max(learned.at + by_s, 0.0),\n",
        "",
        "test_foresight:test_a_step_of_the_clock_moves_what_was_learned_with_it()",
    ),
    Mutant(
        "what a task is said to take is not looked at",
        "foresight",
        "if learned is None and pool.usage is not None:",
        "if False:",
        "test_foresight:test_what_a_task_is_said_to_take_counts_until_it_is_measured()",
    ),
    Mutant(
        "a default window holds what the past lets go",
        "draft",
        "if not self.settled or self.pool.window_given:",
        "if True:",
        "test_foresight:test_a_default_window_gives_way_to_what_was_learned_and_a_wish_does_not()",
    ),
    Mutant(
        "what a metric wishes counts as work to come",
        "recommend",
        "if draft.active or rest is None or draft.expects_work:",
        "if draft.active or rest is None or (draft.settled and draft.work.demand):",
        "test_learned_beside_metrics:test_cpu_that_idle_pods_use_keeps_no_settled_pool_awake()",
    ),
    Mutant(
        "a silent metric hides work to come",
        "recommend",
        "is_wanted = draft.active or draft.expects_work",
        "is_wanted = draft.active",
        "test_learned_beside_metrics:"
        "test_work_that_is_likely_is_prepared_for_though_a_metric_is_silent()",
    ),
    Mutant(
        "pods that nobody can measure are measured",
        "measured",
        "            (*self._unknown, *self._pods_unread),\n",
        "            tuple(self._unknown),\n",
        "test_learned_beside_metrics:"
        "test_a_pool_above_max_whose_cpu_is_silent_is_held_under_either_rule()",
    ),
    # rule native itself
    Mutant(
        "work in flight is not covered",
        "native",
        "    return in_flight + pending * min",
        "    return pending * min",
        "test_learned_beside_metrics:test_what_is_worked_on_is_covered()",
    ),
    Mutant(
        "what is superfluous goes before it was so for the whole hold",
        "native",
        "elif now - wanted_at < setting.hold_s:",
        "elif False:",
        "test_native:test_what_is_superfluous_goes_only_after_it_was_so_for_the_whole_hold()",
    ),
    Mutant(
        "waits in a pool that something else keeps small teach",
        "native",
        "if arrived <= 0 or seen.replicas < state.asked:",
        "if arrived <= 0:",
        "test_native:test_waits_in_a_pool_that_something_else_keeps_small_teach_nothing()",
    ),
    Mutant(
        "a burst counts as many arrivals that wait",
        "native",
        "late = 1 if seen.pending else 0",
        "late = seen.pending",
        "test_native:test_a_burst_counts_as_one_arrival_that_waits()",
    ),
    Mutant(
        "a counter that starts anew is an arrival",
        "native",
        "arrived = max(seen.arrivals - state.arrivals, 0)",
        "arrived = abs(seen.arrivals - state.arrivals)",
        "test_native:test_a_counter_that_starts_anew_is_no_arrival()",
    ),
    # spares
    Mutant(
        "spares come and go with every arrival",
        "spares",
        "SLACK: Final = 1.25",
        "SLACK: Final = 1.0",
        "test_spares:test_spares_that_run_stay_while_the_rate_is_near()",
    ),
    Mutant(
        "what rule native keeps ready is added twice",
        "spares",
        "ready = max(draft.replicas - native.base, 0) if draft.settled else 0",
        "ready = 0",
        "test_learned_beside_metrics:test_spares_count_what_the_rule_keeps_ready_among_them()",
    ),
    Mutant(
        "spares climb on what an upward window keeps",
        "limit",
        "draft.stable < draft.unheld and draft.stable <= draft.current",
        "False",
        "test_held_spares:test_spares_open_no_way_around_an_upward_window(Rule.NATIVE, 20)",
    ),
    # poison
    Mutant(
        "what comes back starts replicas",
        "poison",
        "return work if capped == demand else",
        "return work if True else",
        "test_poison:test_messages_that_only_come_back_add_no_replicas(1, 1)",
    ),
    Mutant(
        "what waits beside what comes back waits on",
        "poison",
        "current + _ceil(depth.pending, per_replica), 1))",
        "current, 1))",
        "test_poison:test_what_waits_is_served_beside_what_comes_back()",
    ),
    Mutant(
        "what came back once is poison",
        "poison",
        "AGAIN_AND_AGAIN: Final = 3",
        "AGAIN_AND_AGAIN: Final = 1",
        "test_poison:test_poison_is_named_once_it_came_back_often_enough()",
    ),
    Mutant(
        "rule hpa knows repeats",
        "poison",
        "if pool.rule is Rule.HPA or not",
        "if not",
        "test_poison:test_an_hpa_knows_no_repeats()",
    ),
    # long blindness
    Mutant(
        "a blind pool is raised at once",
        "blind",
        "draft.now - since <= policy.after_s",
        "False",
        "test_blind:test_after_its_time_a_blind_pool_is_raised_and_not_before(1)",
    ),
    Mutant(
        "a larger blind pool is lowered",
        "blind",
        "    if draft.replicas > least:\n        return\n",
        "",
        "test_blind:test_a_larger_pool_is_never_lowered()",
    ),
    Mutant(
        "sight in between is forgotten",
        "blind",
        "            draft.memory = replace(memory, blind_since=None)\n",
        "            pass\n",
        "test_blind:test_sight_in_between_begins_the_time_anew()",
    ),
    # annotations
    Mutant(
        "a false pause is a pause",
        "annotations",
        "    if has_switch(annotations, PAUSED_SCALE_IN):",
        "    if PAUSED_SCALE_IN in annotations:",
        "test_annotations:test_a_switch_that_says_no_is_off(PAUSED_SCALE_IN, 'false')",
    ),
    Mutant(
        "a number that cannot be read is none",
        "annotations",
        "        return Halt(PAUSED_REPLICAS, unreadable=text)\n    if",
        "        return Halt(PAUSED_REPLICAS, grows=True, shrinks=True)\n    if",
        "test_annotations:"
        "test_a_number_that_cannot_be_read_changes_nothing_and_is_shown('many', 9)",
    ),
    Mutant(
        "a Deployment's own freeze is not seen",
        "annotations",
        "    if not has_switch(annotations, FREEZE):",
        "    if True:",
        "test_annotations:test_a_frozen_deployment_is_not_touched_and_says_who_asked_and_why(9)",
    ),
    # contests
    Mutant(
        "four changes by others are a contest",
        "stand_down",
        "_CONTESTED_FROM: Final = 3",
        "_CONTESTED_FROM: Final = 4",
        "test_contest:test_a_pool_that_is_set_back_three_times_stands_down_and_says_so()",
    ),
    Mutant(
        "another change does not prolong the contest",
        "stand_down",
        "            last = memory.set_back[-1]\n",
        "            last = None\n",
        "test_contest:test_another_change_by_somebody_else_begins_the_ten_minutes_anew()",
    ),
    Mutant(
        "what was set and taken back unseen is nothing",
        "stand_down",
        "    if undone is not None:\n",
        "    if False:\n",
        "test_contest:test_a_controller_that_is_faster_than_a_tick_is_noticed_by_the_generation()",
    ),
    # pools decided by themselves
    Mutant(
        "what was set aside is there twice",
        "slack",
        "        self._left = left\n        self._aside",
        "        self._aside",
        "test_slack:test_what_is_set_aside_is_there_once_and_for_its_own_pool()",
    ),
    Mutant(
        "schedules ask for no more than max",
        "slack",
        "return max(pool.min, pool.max, *named)",
        "return max(pool.min, pool.max)",
        "test_slack:test_what_is_being_written_and_the_widest_schedule_count_in_full()",
    ),
    # alerts of cost
    Mutant(
        "an alert is reached only when it is passed",
        "spending",
        "spent[tenant] >= limit",
        "spent[tenant] > limit",
        "test_spending:"
        "test_an_alert_is_reached_by_what_all_pools_of_a_tenant_are_planned_to_cost()",
    ),
    Mutant(
        "an alert hides what decided the number",
        "spending",
        "(*reasons[:-1], _reason(alert), *reasons[-1:])",
        "(*reasons, _reason(alert))",
        "test_spending:test_an_alert_changes_no_number_and_hides_no_reason()",
    ),
)
