"""The rules about what pools have learned, spares, blindness, annotations and contests."""

from __future__ import annotations

from typing import Final

from support.mutation import Mutant

LEARNED_RULES: Final = (
    # what a pool has learned
    Mutant(
        "ten finished tasks are needed before a pool is sized by its past",
        "planning/foresight.py",
        "SETTLED_AFTER: Final = 10",
        "SETTLED_AFTER: Final = 3",
        ("test_less_than_ten_tasks_done_are_not_gone_by()",),
    ),
    Mutant(
        "a message that is delivered again is not an arrival",
        "planning/foresight.py",
        "        delivered = min(delivered, depth.sequence - before.sequence)\n",
        "        pass\n",
        ("test_a_message_that_is_delivered_again_and_again_is_no_arrival()",),
    ),
    Mutant(
        "a consumer that was made anew is not a burst",
        "planning/foresight.py",
        "    if delivered < 0:\n        return Counters(0, 0)\n",
        "    delivered = abs(delivered)\n",
        ("test_a_consumer_that_was_made_anew_is_no_burst()",),
    ),
    Mutant(
        "an implausible counter is not learned from",
        "planning/foresight.py",
        "delivered is not None and 0 <= delivered < _COUNTER_LIMIT and",
        "delivered is not None and",
        ("test_a_counter_that_cannot_be_leaves_the_plain_count(-1)",),
    ),
    Mutant(
        "while nothing happens nothing is calculated",
        "planning/foresight.py",
        "_still_holds(before, depth, current, now) or not _is_turn(pool, before, now)",
        "not _is_turn(pool, before, now)",
        ("test_while_nothing_happens_nothing_new_is_remembered()",),
    ),
    Mutant(
        "a burst between two calculations is served at once",
        "planning/foresight.py",
        "    start = max(before.start, base)\n",
        "    start = before.start\n",
        ("test_a_burst_between_two_turns_is_served_at_once()",),
    ),
    Mutant(
        "the median start time counts",
        "planning/foresight.py",
        "return median(starts) if starts else None",
        "return max(starts) if starts else None",
        ("test_the_time_to_ready_is_the_pods_median_and_outlives_them()",),
    ),
    Mutant(
        "a clock step does not change the age of what was learned",
        "planning/foresight.py",
        "        at=max(learned.at + by_s, 0.0),\n",
        "",
        ("test_a_step_of_the_clock_moves_what_was_learned_with_it()",),
    ),
    Mutant(
        "the expected time of a task counts until it is measured",
        "planning/foresight.py",
        "if learned is None and pool.usage is not None:",
        "if False:",
        ("test_what_a_task_is_said_to_take_counts_until_it_is_measured()",),
    ),
    Mutant(
        "a default window does not hold what was learned to be unneeded",
        "planning/draft.py",
        "if not self.settled or self.pool.window_given:",
        "if True:",
        ("test_a_default_window_gives_way_to_what_was_learned_and_a_wish_does_not()",),
    ),
    Mutant(
        "a demand of a metric does not count as work to come",
        "planning/recommend.py",
        "if draft.active or rest is None or draft.expects_work:",
        "if draft.active or rest is None or (draft.settled and draft.work.demand):",
        ("test_cpu_that_idle_pods_use_keeps_no_settled_pool_awake()",),
    ),
    Mutant(
        "work to come counts although a metric is silent",
        "planning/recommend.py",
        "is_wanted = draft.active or draft.expects_work",
        "is_wanted = draft.active",
        ("test_work_that_is_likely_is_prepared_for_though_a_metric_is_silent()",),
    ),
    Mutant(
        "pods that cannot be measured make a metric unknown",
        "planning/measured.py",
        "            (*self._unknown, *self._pods_unread),\n",
        "            tuple(self._unknown),\n",
        ("test_a_pool_above_max_whose_cpu_is_silent_is_held_under_either_rule()",),
    ),
    # rule native itself
    Mutant(
        "work in flight is covered",
        "planning/native.py",
        "    return in_flight + pending * min",
        "    return pending * min",
        ("test_what_is_worked_on_is_covered()",),
    ),
    Mutant(
        "a surplus replica goes only after the whole hold time",
        "planning/native.py",
        "elif now - wanted_at < setting.hold_s:",
        "elif False:",
        ("test_what_is_superfluous_goes_only_after_it_was_so_for_the_whole_hold()",),
    ),
    Mutant(
        "waits do not teach while another limit keeps the pool small",
        "planning/native.py",
        "if arrived <= 0 or seen.replicas < state.asked:",
        "if arrived <= 0:",
        ("test_waits_in_a_pool_that_something_else_keeps_small_teach_nothing()",),
    ),
    Mutant(
        "a burst counts as one arrival that waits",
        "planning/native.py",
        "late = 1 if seen.pending else 0",
        "late = seen.pending",
        ("test_a_burst_counts_as_one_arrival_that_waits()",),
    ),
    Mutant(
        "a counter that starts again at zero is not an arrival",
        "planning/native.py",
        "arrived = max(seen.arrivals - state.arrivals, 0)",
        "arrived = abs(seen.arrivals - state.arrivals)",
        ("test_a_counter_that_starts_anew_is_no_arrival()",),
    ),
    # spares
    Mutant(
        "spares that run stay while the arrival rate is near",
        "planning/spares.py",
        "SLACK: Final = 1.25",
        "SLACK: Final = 1.0",
        ("test_spares_that_run_stay_while_the_rate_is_near()",),
    ),
    Mutant(
        "replicas that rule native keeps ready count as spares",
        "planning/spares.py",
        "ready = max(draft.replicas - native.base, 0) if draft.settled else 0",
        "ready = 0",
        ("test_spares_count_what_the_rule_keeps_ready_among_them()",),
    ),
    Mutant(
        "spares do not raise what an upward window keeps low",
        "planning/limit.py",
        "draft.stable < draft.unheld and draft.stable <= draft.current",
        "False",
        ("test_spares_open_no_way_around_an_upward_window(Rule.NATIVE, 20)",),
    ),
    # poison
    Mutant(
        "messages that are only delivered again add no replicas",
        "planning/poison.py",
        "return work if capped == demand else",
        "return work if True else",
        ("test_messages_that_only_come_back_add_no_replicas(1, 1)",),
    ),
    Mutant(
        "new messages beside redelivered ones are served",
        "planning/poison.py",
        "current + _ceil(depth.pending, per_replica), 1))",
        "current, 1))",
        ("test_what_waits_is_served_beside_what_comes_back()",),
    ),
    Mutant(
        "a message is poison only after several deliveries",
        "planning/poison.py",
        "AGAIN_AND_AGAIN: Final = 3",
        "AGAIN_AND_AGAIN: Final = 1",
        ("test_poison_is_named_once_it_came_back_often_enough()",),
    ),
    Mutant(
        "rule hpa does not look at redelivery",
        "planning/poison.py",
        "if pool.rule is Rule.HPA or not",
        "if not",
        ("test_an_hpa_knows_no_repeats()",),
    ),
    # long blindness
    Mutant(
        "a blind pool is raised only after its time",
        "planning/blind.py",
        "draft.now - since <= policy.after_s",
        "False",
        ("test_after_its_time_a_blind_pool_is_raised_and_not_before(1)",),
    ),
    Mutant(
        "a larger blind pool is not lowered",
        "planning/blind.py",
        "    if draft.replicas > least:\n        return\n",
        "",
        ("test_a_larger_pool_is_never_lowered()",),
    ),
    Mutant(
        "a reading in between restarts the time of blindness",
        "planning/blind.py",
        "            draft.memory = replace(memory, blind_since=None)\n",
        "            pass\n",
        ("test_sight_in_between_begins_the_time_anew()",),
    ),
    # annotations
    Mutant(
        "a pause annotation that says false is off",
        "planning/annotations.py",
        "    if has_switch(annotations, PAUSED_SCALE_IN):",
        "    if PAUSED_SCALE_IN in annotations:",
        ("test_a_switch_that_says_no_is_off(PAUSED_SCALE_IN, 'false')",),
    ),
    Mutant(
        "an unreadable number in an annotation changes nothing",
        "planning/annotations.py",
        "        return Halt(PAUSED_REPLICAS, unreadable=text)\n    if",
        "        return Halt(PAUSED_REPLICAS, grows=True, shrinks=True)\n    if",
        ("test_a_number_that_cannot_be_read_changes_nothing_and_is_shown('many', 9)",),
    ),
    Mutant(
        "a freeze annotation on a Deployment is obeyed",
        "planning/annotations.py",
        "    if not has_switch(annotations, FREEZE):",
        "    if True:",
        ("test_a_frozen_deployment_is_not_touched_and_says_who_asked_and_why(9)",),
    ),
    # contests
    Mutant(
        "three changes by others are a contest",
        "planning/stand_down.py",
        "_CONTESTED_FROM: Final = 3",
        "_CONTESTED_FROM: Final = 4",
        ("test_a_pool_that_is_set_back_three_times_stands_down_and_says_so()",),
    ),
    Mutant(
        "another change by others prolongs a contest",
        "planning/stand_down.py",
        "            last = memory.set_back[-1]\n",
        "            last = None\n",
        ("test_another_change_by_somebody_else_begins_the_ten_minutes_anew()",),
    ),
    Mutant(
        "a change that was set and reset between two looks is noticed",
        "planning/stand_down.py",
        "    if undone is not None:\n",
        "    if False:\n",
        ("test_a_controller_that_is_faster_than_a_tick_is_noticed_by_the_generation()",),
    ),
    # pools decided by themselves
    Mutant(
        "replicas that were set aside are counted once",
        "planning/slack.py",
        "        self._left = left\n        self._aside",
        "        self._aside",
        ("test_what_is_set_aside_is_there_once_and_for_its_own_pool()",),
    ),
    Mutant(
        "the highest max of all schedules counts",
        "planning/slack.py",
        "return max(pool.min, pool.max, *named)",
        "return max(pool.min, pool.max)",
        ("test_what_is_being_written_and_the_widest_schedule_count_in_full()",),
    ),
    # alerts of cost
    Mutant(
        "an alert is reached when the cost equals it",
        "planning/spending.py",
        "spent[tenant] >= limit",
        "spent[tenant] > limit",
        ("test_an_alert_is_reached_by_what_all_pools_of_a_tenant_are_planned_to_cost()",),
    ),
    Mutant(
        "an alert does not hide the reason that decided",
        "planning/spending.py",
        "(*reasons[:-1], _reason(alert), *reasons[-1:])",
        "(*reasons, _reason(alert))",
        ("test_an_alert_changes_no_number_and_hides_no_reason()",),
    ),
)
