"""The rules of steps and gates, of what is remembered, and of the words that explain a plan."""

from __future__ import annotations

from typing import Final

from support.mutation import Mutant

GATE_RULES: Final = (
    # steps
    Mutant(
        "busy replicas finish first",
        "planning/step/idle_first.py",
        "busy = busy_replicas(given.seen.queue, pool.slots, current)",
        "busy = 0",
        ("test_busy_replicas_finish_before_another_pool_gets_their_share()",),
    ),
    Mutant(
        "idle replicas go at once beside busy ones",
        "planning/step/idle_first.py",
        "removed = min(surplus, max(idle - young, 0))",
        "removed = surplus if surplus <= idle - young else 0",
        ("test_busy_replicas_finish_first(3, 3)",),
    ),
    Mutant(
        "a replica runs for its minimum runtime",
        "planning/step/idle_first.py",
        "moment.reached(pod.ready_at + runtime_s)",
        "moment.reached(pod.ready_at)",
        ("test_replicas_within_their_minimum_runtime_are_not_taken_back_for_sharing()",),
    ),
    Mutant(
        "a pool that needs fewer itself waits for no minimum runtime",
        "planning/step/idle_first.py",
        "len(too_young(given, moment)) if target < recommendation else 0",
        "len(too_young(given, moment))",
        ("test_a_pool_that_needs_fewer_itself_waits_for_no_minimum_runtime()",),
    ),
    # drains
    Mutant(
        "a worker is drained when it has acted on these very orders",
        "planning/step/crew.py",
        "state.obeyed == revision and",
        "state.obeyed <= revision and",
        ("test_a_worker_that_has_not_heard_its_orders_is_not_drained()",),
    ),
    Mutant(
        "a pod that is not ready and not drained holds the pool",
        "planning/step/drain.py",
        "        elif pod.name not in crew.drained:\n            return 0\n",
        "",
        ("test_a_busy_pod_that_is_not_ready_holds_the_pool_for_it_would_go_first()",),
    ),
    Mutant(
        "pods go only when they are marked",
        "planning/step/drain.py",
        "if pod.name in gone and is_first(pod)]",
        "if pod.name in gone]",
        ("test_a_drained_pod_goes_once_it_is_marked()",),
    ),
    Mutant(
        "a mark counts when a ReplicaSet has seen it too",
        "planning/step/drain.py",
        "moment.reached(at + MARK_SEEN_S)",
        "moment.reached(at)",
        ("test_a_mark_counts_after_a_while()",),
    ),
    Mutant(
        "who was told to stop is told again",
        "planning/step/drain.py",
        "return is_ready, not crew.is_told(pod), stays, crew.busy(pod), -ready_at, pod.name",
        "return is_ready, False, stays, crew.busy(pod), -ready_at, pod.name",
        ("test_who_was_told_is_told_again_although_another_is_idle_now()",),
    ),
    Mutant(
        "pods whose node ends go before others",
        "planning/step/drain.py",
        "return is_ready, not crew.is_told(pod), stays, crew.busy(pod), -ready_at, pod.name",
        "return is_ready, not crew.is_told(pod), crew.busy(pod), -ready_at, pod.name",
        ("test_pods_whose_node_ends_go_before_others()",),
    ),
    Mutant(
        "workers on a node that ends hand their tasks back",
        "planning/step/pulling.py",
        "return replace(orders, leave=leaving) if leaving else orders",
        "return orders",
        ("test_workers_on_a_node_that_ends_hand_back_in_a_pool_that_keeps_its_size()",),
    ),
    Mutant(
        "a marked pod keeps its mark while it hears newer orders",
        "planning/step/drain.py",
        "(crew.drained | marked).intersection(going)",
        "crew.drained.intersection(going)",
        ("test_a_marked_pod_keeps_its_mark_while_it_hears_newer_orders()",),
    ),
    Mutant(
        "a StatefulSet keeps every ordinal below one that is not drained",
        "planning/step/ordinals.py",
        " and names[following - 1] in crew.drained:",
        ":",
        ("test_an_idle_ordinal_below_a_busy_one_stays()",),
    ),
    Mutant(
        "a StatefulSet is drained by its ordinals, not as a ReplicaSet chooses",
        "planning/step/step.py",
        "shrinking = drain if given.workload.first_ordinal is None else drain_from_the_top",
        "shrinking = drain",
        ("test_it_shrinks_to_the_busy_ordinal_and_says_which_that_is()",),
    ),
    Mutant(
        "without states of workers no ordinal goes while any is busy",
        "planning/step/ordinals.py",
        "    if busy:\n",
        "    if False:\n",
        ("test_without_states_of_workers_none_goes_while_any_is_busy()",),
    ),
    Mutant(
        "an ordinal that is not there is told to stop before it counts as idle",
        "planning/step/crew.py",
        "for name in workers.silent if name not in told and name not in states",
        "for name in orders.drain if name not in told and name not in states",
        ("test_a_pod_that_is_not_there_is_told_by_its_name_before_it_counts_as_idle((), 4)",),
    ),
    Mutant(
        "an ordinal that may be going is not called back before the new size is seen",
        "planning/step/ordinals.py",
        "told = {*names.values(), *_leaving(given, crew), *crew.ending}",
        "told = {*names.values(), *crew.ending}",
        ("test_who_is_being_deleted_stays_told_and_is_not_called_back_too_early()",),
    ),
    Mutant(
        "orders that are about to end are not relied on",
        "planning/step/crew.py",
        "moment.reached(orders.until - ORDERS_END_S)",
        "False",
        ("test_orders_that_are_about_to_end_are_not_relied_on()",),
    ),
    Mutant(
        "the workers of a frozen pool are told nothing",
        "planning/gate/gate.py",
        "if gate is Gate.FREEZE or following.drain is None",
        "if following.drain is None",
        ("test_the_workers_of_a_frozen_pool_are_told_nothing()",),
    ),
    Mutant(
        "a pool keeps its size while its workers are not known",
        "planning/gate/gate.py",
        "        or _workers_unknown(given, target)\n",
        "",
        ("test_a_pool_keeps_its_size_while_its_workers_are_lost()",),
    ),
    Mutant(
        "a pool grows only into room that is free",
        "planning/step/step.py",
        "    if grown is None:\n",
        "    if True:\n",
        ("test_a_replica_that_goes_leaves_no_room_in_the_same_plan()",),
    ),
    Mutant(
        "pods that are terminating still take room",
        "planning/step/room.py",
        "return self.current + self.leaving",
        "return self.current",
        ("test_replicas_that_terminate_still_take_room(3, 6)",),
    ),
    Mutant(
        "a pool that shrinks takes its present places until it has shrunk",
        "planning/step/room.py",
        "return max(self.current, self.target) + self.leaving",
        "return self.target + self.leaving",
        ("test_a_replica_that_goes_leaves_no_room_in_the_same_plan()",),
    ),
    Mutant(
        "free room goes to the highest tier first",
        "planning/step/room.py",
        "sorted(growing.items(), reverse=True)",
        "sorted(growing.items())",
        (
            (
                "test_room_goes_to_the_higher_tier_first_"
                "then_to_the_pool_that_runs_least_per_weight()"
            ),
        ),
    ),
    Mutant(
        "an impossible number of messages in flight makes no replica busy",
        "planning/step/idle_first.py",
        "if depth is None or not 0 <= depth.in_flight < IMPLAUSIBLE_MESSAGES:",
        "if depth is None:",
        ("test_busy_replicas_are_those_that_the_messages_in_flight_fill(10**12, 1, 0)",),
    ),
    Mutant(
        "terminating pods below zero make no room",
        "planning/growth.py",
        "leaving = max(pods.terminating, 0)",
        "leaving = pods.terminating",
        ("test_a_count_of_terminating_pods_below_zero_makes_no_room()",),
    ),
    # gates
    Mutant(
        "a frozen pool is not changed",
        "planning/gate/gate.py",
        "        _frozen(given)\n        or _scaled_by_another",
        "        _scaled_by_another",
        ("test_a_frozen_pool_stays_and_other_pools_get_none_of_its_part()",),
    ),
    Mutant(
        "an unknown queue lowers nothing",
        "planning/gate/gate.py",
        "        or _blind(given, demand, target)\n",
        "",
        ("test_silence_never_takes_anything_away(Why.TIMED_OUT)",),
    ),
    Mutant(
        "nothing is written while the pods are not completely known",
        "planning/gate/gate.py",
        "        or _pods_unknown(given, limits, target)\n",
        "",
        ("test_without_a_complete_list_of_its_pods_a_pool_is_not_written(9)",),
    ),
    Mutant(
        "after lost memory nothing is lowered for one window",
        "planning/gate/gate.py",
        "        or _warming_up(given, limits, target, moment)\n",
        "",
        ("test_a_lost_memory_takes_nothing_away_for_one_window()",),
    ),
    Mutant(
        "a pool whose pods do not become ready grows no further",
        "planning/gate/gate.py",
        " or _not_becoming_ready(given, following)",
        "",
        ("test_pods_that_fit_nowhere_stop_growth_but_nothing_else()",),
    ),
    Mutant(
        "a pod that the scheduler has not looked at is not unschedulable",
        "planning/gate/gate.py",
        "return pod.reason == UNSCHEDULABLE",
        "return True",
        ("test_a_pod_that_the_scheduler_has_not_seen_yet_is_not_stuck()",),
    ),
    Mutant(
        "a Deployment of an impossible size is refused",
        "planning/planner.py",
        "isinstance(workload, Fresh) and 0 <= workload.value.replicas <= INT32_MAX",
        "isinstance(workload, Fresh)",
        ("test_a_deployment_of_an_impossible_size_is_refused(-1)",),
    ),
    # what became of a write
    Mutant(
        "a write that is not seen yet is not counted",
        "planning/remember/writes.py",
        "    elif replicas == asked.before and not moment.reached(asked.at + CONFIRM_WITHIN_S):\n",
        "    elif False:\n",
        ("test_a_write_that_is_not_seen_yet_is_not_counted_and_keeps_its_first_time()",),
    ),
    Mutant(
        "a write whose answer was lost is remembered",
        "planning/remember/writes.py",
        "if replicas == asked.after or replicas in asked.earlier:",
        "if replicas == asked.after:",
        ("test_a_write_whose_answer_was_lost_is_not_stepped_twice()",),
    ),
    Mutant(
        "a write that another writer has replaced counts against the policies",
        "planning/remember/writes.py",
        "        memory = _counted(memory, asked, undone, behavior, moment)\n",
        "",
        (
            (
                "test_a_write_that_another_writer_replaced_"
                "before_the_next_look_counts_as_in_the_hpa()"
            ),
        ),
    ),
    Mutant(
        "a write that was not applied does not count",
        "planning/remember/writes.py",
        "return 0 < asked.generation <= workload.generation - 2",
        "return 0 < asked.generation",
        ("test_a_write_that_was_not_applied_does_not_count()",),
    ),
    Mutant(
        "a change that was refused for long counts from when it is seen",
        "planning/remember/writes.py",
        "at = moment.now if late else asked.at",
        "at = asked.at",
        ("test_a_write_that_was_refused_for_long_counts_from_when_it_is_seen()",),
    ),
    Mutant(
        "a change counts from the time when it was asked for",
        "planning/remember/writes.py",
        "            return memory if same else",
        "            return replace(memory, asked=replace(last, at=now)) if same else",
        ("test_a_write_that_is_not_seen_yet_is_not_counted_and_keeps_its_first_time()",),
    ),
    # memory
    Mutant(
        "the plan uses the memory that it is given",
        "planning/planner.py",
        "before = memory.pools.get(pool.pool.key)",
        "before = None",
        ("test_a_lull_shorter_than_the_window_takes_nothing_away()",),
    ),
    Mutant(
        "a clock step does not change the age of the last activity",
        "planning/remember/clock.py",
        "        last_active_at=_time_moved(memory.last_active_at, by_s),\n",
        "",
        ("test_a_step_of_the_clock_ages_no_activity_that_has_ended()",),
    ),
    Mutant(
        "a clock step does not change the age of an activity that goes on",
        "planning/remember/clock.py",
        "        active_since=_time_moved(memory.active_since, by_s),\n",
        "        active_since=memory.active_since,\n",
        ("unit.planning.remember.test_clock:test_a_step_of_the_clock_changes_no_age(-3_600.0)",),
    ),
    Mutant(
        "a memory under a clock that was set back is moved back as a whole",
        "planning/planner.py",
        "        memory = not_ahead(memory, moment.now)\n",
        "        pass\n",
        ("test_a_clock_set_back_between_two_runs_does_not_hold_the_pool_for_long()",),
    ),
    Mutant(
        "a requested write that lies ahead moves the memory back",
        "planning/remember/clock.py",
        "    for change in (memory.asked, memory.replaced):\n",
        "    for change in (memory.replaced,):\n",
        ("test_a_clock_set_back_between_two_runs_does_not_hold_an_unconfirmed_write_for_long()",),
    ),
    Mutant(
        "a step that no clock can make is not followed",
        "planning/remember/clock.py",
        " or not abs(step_s) < LARGEST_STEP_S",
        "",
        ("test_a_step_that_no_clock_can_make_is_not_followed(1e300)",),
    ),
    Mutant(
        "a pool that is idle now was active until the last plan that saw work",
        "planning/remember/pool_memory.py",
        "last_active_at=max(planned_at, since))",
        "last_active_at=since)",
        ("test_activity_is_open_while_there_is_work_and_ends_with_the_last_plan_that_saw_it()",),
    ),
    # a memory that another process has left
    Mutant(
        "a gap as long as the window begins the window again",
        "planning/remember/resume.py",
        "    return now - _last_seen(memory, pool, now) >= max(RESTART_S, window_s)\n",
        "    return False\n",
        (
            (
                "test_after_a_gap_as_long_as_the_window_it_begins_again_"
                "and_the_rest_stays(300, 300.0)"
            ),
        ),
    ),
    Mutant(
        "a restart is no reason to begin a shorter window again",
        "planning/remember/resume.py",
        "max(RESTART_S, window_s)",
        "window_s",
        ("test_after_a_restart_nothing_is_forgotten(0, 5.0)",),
    ),
    Mutant(
        "what was still so when the memory was saved counts until now",
        "planning/remember/resume.py",
        "        planned_at=now,\n",
        "        planned_at=memory.planned_at,\n",
        ("test_what_is_still_so_counts_until_the_memory_is_used_again()",),
    ),
    Mutant(
        "a recommendation that had to leave its window says that the process was gone",
        "planning/remember/resume.py",
        "    return min([now, *ends])\n",
        "    return now\n",
        (
            (
                "test_where_an_older_recommendation_had_to_end_"
                "the_process_was_gone_by_then(600.0, False)"
            ),
        ),
    ),
    Mutant(
        "a pool that is larger than its memory knows is not scaled down at once",
        "planning/remember/resume.py",
        "        if sizes.get(key, 0) > _largest_known(found)\n",
        "        if sizes.get(key, 0) < 0\n",
        ("test_a_pool_larger_than_its_memory_knows_begins_its_window_again()",),
    ),
    Mutant(
        "an idle pool that was begun to be taken to zero says nothing of a gap",
        "planning/remember/resume.py",
        "    if any(at >= cooled for at in changes):\n        return None\n",
        "",
        ("test_a_restart_does_not_delay_an_idle_pool_that_shrinks_by_its_policy()",),
    ),
    # contests
    Mutant(
        "a size that GitOps restores is a contest from the first time",
        "planning/remember/contest.py",
        " or is_restored(known[-1])",
        "",
        (
            (
                "test_a_size_that_gitops_restores_is_left_alone_from_the_first_time"
                "('argocd-controller')"
            ),
        ),
    ),
    Mutant(
        "three changes by others are a contest",
        "planning/remember/contest.py",
        "_CONTESTED_FROM: Final = 3",
        "_CONTESTED_FROM: Final = 4",
        ("test_a_pool_that_is_set_back_three_times_is_left_alone_with_a_reason()",),
    ),
    Mutant(
        "another change by others prolongs a contest",
        "planning/remember/contest.py",
        "            last = memory.set_back[-1]\n",
        "            last = None\n",
        ("test_another_change_starts_the_ten_minutes_again()",),
    ),
    Mutant(
        "a change that was set and reset between two looks is noticed",
        "planning/remember/contest.py",
        "    if undone is not None:\n",
        "    if False:\n",
        ("test_a_controller_that_is_faster_than_a_tick_is_noticed_by_the_generation()",),
    ),
    Mutant(
        "a change to what the plan wants does not prolong a contest",
        "planning/gate/gate.py",
        "    if memory.replaced is not None and not limits.is_moving:\n",
        "    if False:\n",
        ("test_while_contested_a_change_to_what_the_plan_wants_does_not_prolong_it()",),
    ),
    Mutant(
        "a size that a policy only keeps for a while is not what the plan wants",
        "planning/gate/gate.py",
        "    if memory.replaced is not None and not limits.is_moving:\n",
        "    if memory.replaced is not None:\n",
        ("test_a_size_that_a_policy_keeps_for_a_while_is_still_contested()",),
    ),
    Mutant(
        "a contest that is over is forgotten",
        "planning/remember/contest.py",
        "    if memory.set_back and moment.reached(quiet_until(memory)):\n",
        "    if False:\n",
        ("test_a_contest_ends_ten_minutes_after_the_last_change(9)",),
    ),
    # words
    Mutant(
        "a number that is not finite is shown as a question mark",
        "planning/explain.py",
        "if not -_ABSURD < number < _ABSURD:  # NaN as well",
        "if False:",
        ("test_a_number_that_is_none_is_a_question_mark(math.nan)",),
    ),
    Mutant(
        "the headline shows a target that is not reached yet",
        "planning/explain.py",
        "if following == current and following == decision.target:",
        "if following == current:",
        (
            (
                "test_a_headline_is_the_numbers_and_the_last_rule("
                "decided(3, 0, 1, 3), 'now 3 → next 3 (target 1, wanted 0)')"
            ),
        ),
    ),
)
