"""The rules of what the work asks for: the queue, the past and the metrics."""

from __future__ import annotations

from typing import Final

from support.mutation import Mutant

DEMAND_RULES: Final = (
    # the queue
    Mutant(
        "work in flight counts as work",
        "planning/demand/work.py",
        "messages = depth.pending + depth.in_flight",
        "messages = depth.pending",
        ("test_demand_is_the_work_by_the_target_rounded_up(7, 4, 10, 2)",),
    ),
    Mutant(
        "demand is rounded up",
        "planning/demand/work.py",
        "-(-messages // per_replica)",
        "messages // per_replica",
        ("test_demand_is_the_work_by_the_target_rounded_up(11, 0, 10, 2)",),
    ),
    Mutant(
        "an implausible number of messages is refused",
        "planning/demand/work.py",
        "0 <= depth.pending < IMPLAUSIBLE_MESSAGES",
        "depth.pending == depth.pending",
        ("test_an_absurd_number_is_refused_and_takes_nothing_away('pending', -1)",),
    ),
    Mutant(
        "a wake-up that the reading already counts is not counted again",
        "planning/demand/work.py",
        "woken_at >= at",
        "woken_at <= at",
        ("test_a_wake_up_before_the_count_was_asked_for_is_already_counted()",),
    ),
    Mutant(
        "a wake-up counts although there is no reading beside it",
        "planning/demand/work.py",
        "return _woken(seen, reasons, counted=False)",
        "return _UNKNOWN",
        ("test_a_wake_up_wakes_a_pool_whose_queue_cannot_be_read()",),
    ),
    Mutant(
        "only more messages than the activation wake a pool",
        "planning/demand/demand.py",
        "work.messages > terms.pool.activation",
        "work.messages >= terms.pool.activation",
        ("test_as_many_messages_as_the_activation_do_not_wake(50)",),
    ),
    # messages that are only delivered again
    Mutant(
        "messages that are only delivered again add no replicas",
        "planning/demand/redelivered.py",
        "    if capped != demand:\n",
        "    if False:\n",
        ("test_messages_that_only_come_back_add_no_replicas(1, 1)",),
    ),
    Mutant(
        "new messages beside redelivered ones are served",
        "planning/demand/redelivered.py",
        "current + _replicas(depth.pending, per_replica), 1))",
        "current, 1))",
        ("test_waiting_messages_are_served_beside_redelivered_ones()",),
    ),
    Mutant(
        "a message is poison only after several deliveries",
        "planning/demand/redelivered.py",
        "POISON_DELIVERIES: Final = 3",
        "POISON_DELIVERIES: Final = 1",
        ("test_poison_is_named_after_enough_deliveries()",),
    ),
    Mutant(
        "rule hpa does not look at redelivery",
        "planning/demand/redelivered.py",
        "if pool.rule is Rule.HPA or not",
        "if not",
        ("test_rule_hpa_counts_redelivered_messages_like_any_other()",),
    ),
    Mutant(
        "poison in one of several queues is named while the others have work",
        "planning/demand/redelivered.py",
        "    if len(pool.queues) == 1:\n",
        "    if True:\n",
        ("test_poison_in_one_of_several_queues_is_named_while_the_others_have_work()",),
    ),
    # what a pool has learned
    Mutant(
        "replicas that start one after the other take one cold start each",
        "planning/demand/learned.py",
        "    if workload is None or not workload.one_by_one:\n",
        "    if True:\n",
        ("test_replicas_that_start_one_after_the_other_are_not_asked_for_to_come_too_late()",),
    ),
    Mutant(
        "ten finished tasks are needed before a pool is sized by its past",
        "planning/demand/learned.py",
        "SETTLED_AFTER: Final = 10",
        "SETTLED_AFTER: Final = 3",
        ("test_fewer_than_ten_tasks_done_are_not_trusted()",),
    ),
    Mutant(
        "a message that is delivered again is not an arrival",
        "planning/demand/learned.py",
        "        delivered = min(delivered, depth.sequence - before.sequence)\n",
        "        pass\n",
        ("test_a_message_that_is_delivered_again_and_again_is_no_arrival()",),
    ),
    Mutant(
        "a consumer that was created again is not a burst",
        "planning/demand/learned.py",
        "    if delivered < 0:\n        return _Counters(0, 0)\n",
        "    delivered = abs(delivered)\n",
        ("test_a_consumer_that_was_created_again_is_no_burst()",),
    ),
    Mutant(
        "an implausible counter is not learned from",
        "planning/demand/learned.py",
        "delivered is not None and 0 <= delivered < _COUNTER_LIMIT and",
        "delivered is not None and",
        ("test_with_an_impossible_counter_the_plain_count_applies(-1)",),
    ),
    Mutant(
        "while nothing happens nothing is calculated",
        "planning/demand/learned.py",
        "    if _is_quiet(before, depth):\n"
        "        return _reevaluated(terms, before, current, moment)\n",
        "",
        ("test_while_nothing_happens_nothing_new_is_remembered()",),
    ),
    Mutant(
        "a burst between two calculations is served at once",
        "planning/demand/learned.py",
        "    start = max(memory.start, base)\n",
        "    start = memory.start\n",
        ("test_a_burst_between_two_turns_is_served_at_once()",),
    ),
    Mutant(
        "the median start time counts",
        "planning/demand/learned.py",
        "return median(starts) if starts else None",
        "return max(starts) if starts else None",
        ("test_the_time_to_ready_is_the_median_of_the_pods_and_is_remembered()",),
    ),
    Mutant(
        "a clock step does not change the age of what was learned",
        "planning/demand/learned.py",
        "        at=max(learned.at + by_s, 0.0),\n",
        "",
        ("test_a_step_of_the_clock_moves_what_was_learned()",),
    ),
    Mutant(
        "the expected time of a task counts until it is measured",
        "planning/demand/learned.py",
        "if learned is None and pool.usage is not None:",
        "if False:",
        ("test_the_configured_task_time_counts_until_it_is_measured()",),
    ),
    # rule native itself
    Mutant(
        "work in flight is covered",
        "planning/demand/advice.py",
        "    return in_flight + pending * min",
        "    return pending * min",
        ("test_messages_in_flight_are_covered()",),
    ),
    Mutant(
        "a surplus replica goes only after the whole hold time",
        "planning/demand/advice.py",
        "elif now - wanted_at < setting.hold_s:",
        "elif False:",
        ("test_a_surplus_replica_goes_only_after_the_whole_hold()",),
    ),
    Mutant(
        "waits do not teach while another limit keeps the pool small",
        "planning/demand/advice.py",
        "if arrived <= 0 or seen.replicas < state.asked:",
        "if arrived <= 0:",
        ("test_waits_in_a_pool_that_another_rule_keeps_small_teach_nothing()",),
    ),
    Mutant(
        "a burst counts as one arrival that waits",
        "planning/demand/advice.py",
        "late = 1 if seen.pending else 0",
        "late = seen.pending",
        ("test_a_burst_counts_as_one_late_arrival()",),
    ),
    Mutant(
        "a counter that starts again at zero is not an arrival",
        "planning/demand/advice.py",
        "arrived = max(seen.arrivals - state.arrivals, 0)",
        "arrived = abs(seen.arrivals - state.arrivals)",
        ("test_a_counter_that_starts_again_is_no_arrival()",),
    ),
    # metrics
    Mutant(
        "pods that cannot be measured make a metric unknown",
        "planning/demand/metrics/measure.py",
        "            (*self._unusable, *self._unread_pods),\n",
        "            tuple(self._unusable),\n",
        ("test_a_pool_above_max_whose_cpu_is_unknown_is_held_under_either_rule()",),
    ),
    Mutant(
        "beside a broken metric the others can only raise a pool of rule native",
        "planning/demand/demand.py",
        "counted = work.counted and found.unusable is None",
        "counted = work.counted",
        ("test_beside_rule_native_an_unknown_metric_lets_the_queue_grow_the_pool()",),
    ),
    Mutant(
        "beside a broken metric the others can only raise a pool of rule hpa",
        "planning/demand/demand.py",
        "    if not counted and (proposal is None or proposal < current):\n",
        "    if False:\n",
        ("test_an_unknown_metric_blocks_shrinking_and_is_named()",),
    ),
    Mutant(
        "the largest proposal wins",
        "planning/demand/metrics/propose.py",
        "replicas = max(replicas or 0, proposal.replicas)",
        "replicas = min(replicas or proposal.replicas, proposal.replicas)",
        ("test_of_two_metrics_the_larger_proposal_wins()",),
    ),
    Mutant(
        "beside rule native a metric can only raise what the queue asks for",
        "planning/demand/demand.py",
        "    return max(one, other)\n",
        "    return min(one, other)\n",
        ("test_memory_beside_rule_native_is_a_safety_metric()",),
    ),
    Mutant(
        "a tolerance of a pool replaces the cluster's",
        "planning/compile.py",
        "return default if rules.tolerance is None else float(rules.tolerance)",
        "return default",
        ("test_a_tolerance_of_its_own_replaces_the_default()",),
    ),
    Mutant(
        "a formula without a value falls back to the replicas of its fallback",
        "planning/demand/metrics/measure.py",
        "            last = None if nil is None else self._last_resort(modifiers)\n",
        "            last = None\n",
        ("test_a_formula_whose_metrics_are_all_nil_uses_the_replicas_of_its_fallback(Rule.HPA)",),
    ),
    Mutant(
        "a formula that fails for metrics that are known uses no fallback",
        "planning/demand/metrics/measure.py",
        "            if nil is None or last is None:\n",
        "            last = self._last_resort(modifiers)\n"
        "            nil = nil or (COMPOSITE, self._reading(QUEUE))\n"
        "            if last is None:\n",
        ("test_a_formula_that_fails_for_its_known_metrics_uses_no_fallback()",),
    ),
    Mutant(
        "a formula gets nil for a missing metric and may still have a value",
        "planning/demand/metrics/fallback.py",
        "        return FallbackValue(is_nil=True)\n",
        "        return NO_FALLBACK_VALUE\n",
        ("test_a_formula_that_has_a_value_without_its_nil_metrics_uses_it()",),
    ),
    Mutant(
        "a fallback of no replicas stands in for nothing",
        "planning/demand/metrics/fallback.py",
        "return FallbackValue(worth_milli(replicas, target, ready_pods) or None)",
        "return FallbackValue(worth_milli(replicas, target, ready_pods))",
        ("test_a_fallback_of_zero_replicas_takes_nothing_away(FallbackBehavior.STATIC)",),
    ),
    Mutant(
        "a pod whose container has not been measured is a missing sample",
        "planning/demand/metrics/pods.py",
        "            if container not in usage.containers:\n                continue\n",
        "            if container not in usage.containers:\n"
        "                is_known = False\n"
        "                break\n",
        ("test_a_pod_without_the_container_is_a_missing_sample(Rule.HPA)",),
    ),
    Mutant(
        "a fallback stands in only after more failures than its threshold",
        "planning/demand/metrics/fallback.py",
        "    if failures <= fallback.failure_threshold:\n",
        "    if failures < fallback.failure_threshold:\n",
        ("test_a_fallback_stands_in_after_more_failures_than_its_threshold()",),
    ),
    Mutant(
        "a container counts by its own request",
        "planning/demand/metrics/pods.py",
        "        containers = tuple(one for one in containers if one.name == container)\n",
        "        pass\n",
        ("test_a_named_container_counts_its_own_request()",),
    ),
    Mutant(
        "a container that no pod has leaves the metric unknown",
        "planning/demand/metrics/pods.py",
        "    if not is_known:\n",
        "    if False:\n",
        ("test_a_container_that_no_pod_has_leaves_the_metric_unknown()",),
    ),
)
