"""The rules of what a plan takes over from the plan before, and of how long it holds."""

from __future__ import annotations

from typing import Final

from support.mutation import Mutant

KEPT_RULES: Final = (
    # what has changed
    Mutant(
        "what was kept of another fleet file is not used",
        "planning/changes.py",
        "kept.terms is not terms or ",
        "",
        ("test_a_fleet_file_that_was_read_again_is_planned_anew()",),
    ),
    Mutant(
        "what was kept of a later time is not used",
        "planning/changes.py",
        " or now < kept.at",
        "",
        ("test_a_time_before_the_last_plan_is_planned_anew()",),
    ),
    Mutant(
        "a pool that is seen otherwise is decided again",
        "planning/changes.py",
        "    changed = set(compress(numbers, map(is_not, seen, kept.seen)))\n",
        "    changed: set[int] = set()\n",
        ("test_a_pool_that_is_seen_otherwise_is_decided_again()",),
    ),
    Mutant(
        "a pool of which nothing has changed is not decided again",
        "planning/changes.py",
        "    changed = set(compress(numbers, map(is_not, seen, kept.seen)))\n",
        "    changed = set(numbers)\n",
        ("test_a_pool_of_which_nothing_has_changed_is_not_decided_again()",),
    ),
    Mutant(
        "a pool whose memory has changed in a plan is decided again in the next",
        "planning/changes.py",
        "    changed.update(kept.unsettled)\n",
        "",
        ("test_a_write_that_is_never_seen_is_asked_for_again_in_time()",),
    ),
    Mutant(
        "a pool whose memory is not the one that the plan before left is decided again",
        "planning/changes.py",
        "    if memory.pools is not kept.memories:\n",
        "    if False:\n",
        ("test_a_memory_that_was_lost_is_planned_with_anew()",),
    ),
    Mutant(
        "a pool is decided again at the time that one of its rules has asked for",
        "planning/changes.py",
        "    changed.update(compress(numbers, map(now.__ge__, kept.times)))\n",
        "",
        ("test_a_cooldown_ends_in_time_though_nothing_else_happens()",),
    ),
    Mutant(
        "an intent that comes is obeyed by pools of which nothing else has changed",
        "planning/changes.py",
        "    if intents is not kept.intents:\n",
        "    if False:\n",
        (
            (
                "test_an_intent_that_comes_or_goes_is_obeyed_at_once("
                "Intents(pauses=(Pause(scope=Scope(tenant='a')),)), {'a': 0, 'b': 5})"
            ),
        ),
    ),
    Mutant(
        "an intent that is gone has no effect any more",
        "planning/changes.py",
        "key_of(each).scope for each in (*now, *then))",
        "key_of(each).scope for each in now)",
        (
            (
                "test_an_intent_that_comes_or_goes_is_obeyed_at_once("
                "Intents(pins=(Pin(pool=B.key, replicas=2),)), {'a': 3, 'b': 7})"
            ),
        ),
    ),
    Mutant(
        "an intent for the whole fleet concerns every pool",
        "planning/changes.py",
        "        if scope.tenant is None or scope.tenant == pool.tenant\n",
        "        if scope.tenant == pool.tenant\n",
        (
            (
                "test_an_intent_that_comes_or_goes_is_obeyed_at_once("
                "Intents(pauses=(Pause(scope=Scope()),)), {'a': 0, 'b': 0})"
            ),
        ),
    ),
    Mutant(
        "an intent for one tenant concerns no pool of another",
        "planning/changes.py",
        "        if scope.tenant is None or scope.tenant == pool.tenant\n",
        "",
        ("test_an_intent_for_one_tenant_lets_no_other_pool_be_decided_again()",),
    ),
    Mutant(
        "a pool is decided again when its write begins or ends",
        "planning/changes.py",
        "    changed.update(fixed.keys() ^ kept.fixed.keys())\n",
        "",
        ("test_a_pool_that_is_being_written_is_decided_again_when_the_write_has_ended()",),
    ),
    Mutant(
        "a pool that is not observed or is being written has no decision",
        "planning/results.py",
        "gone = [] if changes.is_partial else _gone(changes, kept)",
        "gone = []",
        (
            "test_a_pool_that_is_not_observed_any_more_has_no_decision()",
            "test_a_pool_that_is_being_written_is_decided_again_when_the_write_has_ended()",
        ),
    ),
    # until when an answer holds
    Mutant(
        "a comparison of times notes when its answer will change",
        "planning/given/moment.py",
        "        self.changes_at = min(self.changes_at, at)\n        return False\n",
        "        return False\n",
        ("test_a_cooldown_ends_in_time_though_nothing_else_happens()",),
    ),
    Mutant(
        "a time has not passed at that very time",
        "planning/given/moment.py",
        "return self.reached(nextafter(at, inf))",
        "return self.reached(at)",
        ("test_a_cooldown_ends_in_time_though_nothing_else_happens()",),
    ),
    Mutant(
        "a time that has passed strictly is noted as well",
        "planning/given/moment.py",
        "return self.reached(nextafter(at, inf))",
        "return self.now > at",
        ("test_a_cooldown_ends_in_time_though_nothing_else_happens()",),
    ),
    Mutant(
        "a window notes when the recommendation leaves it that holds the size",
        "planning/recommend/behavior.py",
        "    moment.note(until)\n",
        "",
        ("test_an_upward_window_ends_in_time_though_nothing_else_happens()",),
    ),
    Mutant(
        "a schedule is looked at again in the next minute",
        "planning/given/schedules.py",
        "    moment.note((moment.now // _MINUTE_S + 1) * _MINUTE_S)\n",
        "",
        ("test_a_window_that_opens_is_obeyed_in_that_minute()",),
    ),
    Mutant(
        "the pace of a budget holds for a minute",
        "planning/share/scarcity.py",
        "    moment.note(day.end - _MINUTE_S * (minutes - 1))\n",
        "",
        ("test_the_pace_holds_until_the_next_whole_minute()",),
    ),
    Mutant(
        "a result holds no longer than the steps that it was made of",
        "planning/planner.py",
        "moment = Moment(now, one.changes_at)",
        "moment = Moment(now)",
        ("test_a_cooldown_ends_in_time_though_nothing_else_happens()",),
    ),
    Mutant(
        "what is scarce for a tenant holds until its time",
        "planning/share/scarcity.py",
        "    if now >= before.changes_at:\n        return False\n",
        "",
        ("test_a_ledger_that_grows_too_old_holds_growth()",),
    ),
    Mutant(
        "a ledger that was too old is known again once it is read again",
        "planning/share/scarcity.py",
        "    if before.budget is None and tenant.budget.tokens_per_day is not None:\n",
        "    if False:\n",
        ("test_a_ledger_that_says_the_same_again_is_known_again()",),
    ),
    # what is shared
    Mutant(
        "a pool is decided again where the division leaves it another size",
        "planning/targets.py",
        "    moved = set(compress(numbers, map(ne, division.have, kept.have)))\n",
        "    moved: set[int] = set()\n",
        ("test_the_work_of_one_pool_changes_what_the_division_leaves_another()",),
    ),
    Mutant(
        "a pool is decided again where another row refuses it more",
        "planning/targets.py",
        "    moved.update(compress(numbers, map(ne, division.refused_by, kept.refused)))\n",
        "",
        ("test_a_size_that_another_row_limits_now_says_so()",),
    ),
    Mutant(
        "a pool that a row limits is decided again where the rows have other numbers",
        "planning/targets.py",
        "    if not same_rows:\n",
        "    if False:\n",
        ("test_the_reason_tells_the_numbers_of_the_row_as_it_is_now()",),
    ),
    Mutant(
        "a limit without a row applies to pools of which nothing else has changed",
        "planning/targets.py",
        "        decided = {**_with_changed_limits(terms, scarcity, kept, changes), **decided}\n",
        "        pass\n",
        ("test_a_ledger_that_grows_too_old_holds_growth()",),
    ),
    Mutant(
        "a first division counts pools too of which nothing has changed",
        "planning/targets.py",
        "        return {**rest, **found}\n",
        "        return found\n",
        ("test_room_that_becomes_scarce_counts_what_an_unknown_deployment_takes()",),
    ),
    Mutant(
        "a division that goes on from another has the numbers of its own rows",
        "planning/share/share.py",
        "    if rows != kept.rows or len(tariff.profiles) != profiles:\n",
        "    if False:\n",
        ("test_a_row_with_more_room_gives_more()",),
    ),
    Mutant(
        "a division goes on only from one of the same rows",
        "planning/share/share.py",
        "        tuple(scarcity.rows) == kept.known.names\n"
        "        and scarcity.classes == kept.known.classes\n"
        "        and kinds_of(rows) == kept.tariff.kinds\n"
        "        and ",
        "        ",
        ("test_a_row_that_takes_the_place_of_another_is_shared_by_its_own_pools()",),
    ),
    Mutant(
        "what a pool takes is worked out again where it requests something else",
        "planning/share/uses.py",
        "found is None or found[0] is not pool or found[1] != requests or",
        "found is None or found[0] is not pool or",
        ("test_other_requests_are_worked_out_and_equal_ones_are_kept()",),
    ),
    Mutant(
        "where nothing can be shared every pool is decided, not only those that changed",
        "planning/planner.py",
        "        if kept is not None:\n            return plan(",
        "        if False:\n            return plan(",
        ("test_a_limit_by_which_nothing_can_be_shared_keeps_every_pool()",),
    ),
    # room
    Mutant(
        "a pool is decided again where other pools have left it room",
        "planning/results.py",
        "    for number in growth.changed:\n",
        "    for number in ():\n",
        ("test_a_pool_grows_once_another_has_left_the_room()",),
    ),
    Mutant(
        "room that becomes scarce is taken by pools too of which nothing has changed",
        "planning/growth.py",
        "    if kept is not None and before is None:\n",
        "    if False:\n",
        ("test_room_that_becomes_scarce_is_taken_by_an_unknown_deployment()",),
    ),
    Mutant(
        "a pool that is being written takes room for all it may have then",
        "planning/growth.py",
        "for number, replicas in (*context.unknown.items(), *changes.fixed.items()):",
        "for number, replicas in context.unknown.items():",
        ("test_a_pool_that_is_being_written_takes_room_for_all_it_may_have_then()",),
    ),
    Mutant(
        "room is counted anew where a row has more of it",
        "planning/step/room.py",
        " and kept.shared.rows == shared.rows:",
        ":",
        ("test_more_room_lets_a_pool_grow_at_once()",),
    ),
    Mutant(
        "room is counted anew where replicas request something else",
        "planning/step/room.py",
        "            or profile_before[number] != shared.profile_of[number]\n",
        "",
        ("test_replicas_that_request_more_leave_less_room()",),
    ),
    # alerts
    Mutant(
        "an alert that is reached changes the decisions of all costly pools",
        "planning/results.py",
        "    if kept is not None and alerts != kept.alerts:\n",
        "    if False:\n",
        ("test_an_alert_that_another_pool_reaches_is_told_of_every_costly_pool()",),
    ),
    # plans of a part of the fleet
    Mutant(
        "a plan of a part of the fleet decides no other pool",
        "planning/results.py",
        "        return number in changes.recompute\n",
        "        return True\n",
        ("test_pools_that_were_not_observed_get_no_decision_and_keep_their_memory()",),
    ),
    Mutant(
        "nothing is kept of a plan of a part of the fleet alone",
        "planning/results.py",
        "    if kept is None and (changes.is_partial or targets.is_unshared):\n",
        "    if kept is None and targets.is_unshared:\n",
        ("test_a_partial_plan_without_anything_kept_decides_only_those_pools()",),
    ),
    Mutant(
        "after a plan of a part of the fleet the others are divided anew",
        "planning/results.py",
        "    if kept is None or not changes.is_partial:\n        return division.have",
        "    if True:\n        return division.have",
        ("test_after_a_plan_of_one_pool_the_others_are_divided_anew()",),
    ),
    Mutant(
        "after a plan of a part of the fleet the room that it left is given to others",
        "planning/results.py",
        ", *_replaced(context, kept), *growth.changed}",
        ", *_replaced(context, kept)}",
        ("test_after_a_plan_of_one_pool_the_room_it_left_is_given_to_others()",),
    ),
    Mutant(
        "after a plan of a part of the fleet a lost memory is lost for the others as well",
        "planning/results.py",
        ", *_replaced(context, kept), *growth.changed}",
        ", *growth.changed}",
        (
            (
                "test_a_memory_that_was_lost_before_a_plan_of_one_pool_"
                "is_lost_for_the_others_as_well()"
            ),
        ),
    ),
    Mutant(
        "after a plan of a part of the fleet a memory that changed before it still counts",
        "planning/results.py",
        "others = {*kept.unsettled, *_replaced",
        "others = {*_replaced",
        ("test_a_memory_that_changed_before_a_plan_of_one_pool_counts_in_the_next()",),
    ),
    Mutant(
        "an intent that comes with a plan of a part of the fleet is for the others as well",
        "planning/results.py",
        "context.intents if kept is None or not changes.is_partial else kept.intents",
        "context.intents",
        ("test_an_intent_that_comes_with_a_plan_of_one_pool_is_for_the_others_as_well()",),
    ),
    Mutant(
        "a limit that changes with a plan of a part of the fleet is for the others as well",
        "planning/results.py",
        "        if targets.scarcity.is_other_than(kept.scarcity):\n",
        "        if False:\n",
        ("test_a_limit_that_changes_with_a_plan_of_one_pool_is_for_the_others_as_well()",),
    ),
    Mutant(
        "a write that ends before a plan of another pool is decided in the next",
        "planning/results.py",
        "return {**before, **changes.fixed}",
        "return changes.fixed",
        ("test_a_write_that_ends_before_a_plan_of_another_pool_is_decided_in_the_next()",),
    ),
)
