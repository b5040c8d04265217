"""The rules of sharing: what is scarce, what each pool asks for, and how it is divided."""

from __future__ import annotations

from typing import Final

from support.mutation import Mutant

SHARING_RULES: Final = (
    # budgets and money
    Mutant(
        "a spent hard budget leaves no replica",
        "planning/share/budget.py",
        "first_passes=status.state is not BudgetState.HARD",
        "first_passes=True",
        ("test_an_empty_budget_takes_floors_and_pins_too()",),
    ),
    Mutant(
        "a spent budget stops pools too whose tokens are not known",
        "planning/share/claims.py",
        '            found.append((Ceiling(limit=0, bound=Bound.BUDGET, name="budget"), None))\n',
        "            pass\n",
        ("test_a_spent_budget_stops_every_pool_and_says_so(None)",),
    ),
    Mutant(
        "a tenant that is paced keeps one replica",
        "planning/share/budget.py",
        "first_passes=status.state is not BudgetState.HARD",
        "first_passes=False",
        ("test_a_tenant_that_is_paced_keeps_one_replica_and_its_budget_is_not_called_spent()",),
    ),
    Mutant(
        "a budget above its warning share is paced",
        "planning/share/budget.py",
        "    if state is BudgetState.WARN:\n        return pace\n",
        "",
        ("test_a_daily_budget_paces_and_then_stops(800_000, 1, Bound.BUDGET)",),
    ),
    Mutant(
        "a budget that is not hard never stops a pool",
        "planning/share/budget.py",
        "return BudgetState.HARD if budget.hard else BudgetState.WARN",
        "return BudgetState.HARD",
        ("test_a_budget_that_is_not_hard_warns_and_paces_only()",),
    ),
    Mutant(
        "tokens that running jobs reserved are not free",
        "planning/share/budget.py",
        "rest = tokens - used - _exact(use.reserved)",
        "rest = tokens - used",
        ("test_tokens_reserved_by_running_tasks_count_as_used(900, 100, BudgetState.HARD)",),
    ),
    Mutant(
        "tokens cost money",
        "planning/share/cost.py",
        "_MINUTES * tokens * exact(usd_per_token",
        "0 * tokens * exact(usd_per_token",
        ("test_money_per_hour_pays_for_so_many_replicas()",),
    ),
    Mutant(
        "an alert is reached when the cost equals it",
        "planning/share/spending.py",
        "if spent >= limit and",
        "if spent > limit and",
        ("test_an_alert_is_reached_by_what_all_pools_of_a_tenant_are_planned_to_cost()",),
    ),
    Mutant(
        "an alert does not hide the reason that decided",
        "planning/share/spending.py",
        "(*reasons[:-1], _reason(alert), *reasons[-1:])",
        "(*reasons, _reason(alert))",
        ("test_an_alert_changes_no_number_and_hides_no_reason()",),
    ),
    Mutant(
        "a budget that stops a pool is named where the pool's use is not known",
        "planning/share/claims.py",
        "            if bound is Bound.BUDGET:\n",
        "            if False:\n",
        (
            (
                "test_a_spent_budget_stops_a_pool_also_where_its_use_cannot_be("
                "{'requests': REQUESTED[0]})"
            ),
        ),
    ),
    # what is scarce
    Mutant(
        "an unreadable ledger holds growth",
        "planning/share/claims.py",
        "        if tenant.is_blind:\n",
        "        if False:\n",
        ("test_an_unknown_token_usage_holds_growth_and_nothing_else({})",),
    ),
    Mutant(
        "a ledger that is too old counts as unreadable",
        "planning/share/scarcity.py",
        "    if moment.passed(reading.at + LEDGER_LIMIT_S):\n        return None\n",
        "",
        ("test_an_unknown_token_usage_holds_growth_and_nothing_else(used(0, at=NOON - 601))",),
    ),
    Mutant(
        "the smaller of two quotas counts",
        "planning/share/scarcity.py",
        "yield name, min(known)",
        "yield name, max(known)",
        ("test_the_smaller_of_a_quota_in_the_file_and_the_namespaces_counts()",),
    ),
    Mutant(
        "an unknown amount is no limit",
        "planning/share/scarcity.py",
        "known = [each for each in amounts if each is not None and 0 <= each <= INT64_MAX]",
        "known = [each or 0 for each in amounts]",
        ("test_every_row_counts_by_what_the_pods_request()",),
    ),
    Mutant(
        "a limit that cannot be one is no row",
        "planning/share/scarcity.py",
        "if each is not None and 0 <= each <= INT64_MAX]",
        "if each is not None]",
        ("test_a_limit_that_cannot_be_lets_pools_shrink({'quota': NEGATIVE}, 'quota')",),
    ),
    Mutant(
        "a limit of a tenant that cannot be one holds its growth",
        "planning/share/claims.py",
        "        if tenant.unreadable:\n",
        "        if False:\n",
        (
            (
                "test_a_limit_that_cannot_be_lets_no_pool_grow_and_takes_nothing_away("
                "{'quota': NEGATIVE}, 'quota')"
            ),
        ),
    ),
    Mutant(
        "a limit of the cluster that cannot be one holds all growth",
        "planning/share/claims.py",
        "    if scarcity.unreadable:\n",
        "    if False:\n",
        ("test_a_stale_limit_that_cannot_be_is_treated_like_a_fresh_one()",),
    ),
    # what each pool asks for
    Mutant(
        "a ceiling lowers what a pool asks for and never raises it",
        "planning/share/claims.py",
        "floor, need, want = min(floor, cap), min(need, cap), cap",
        "floor, need, want = max(floor, cap), max(need, cap), want",
        ("test_a_pause_stops_a_pool_where_a_row_is_shared()",),
    ),
    Mutant(
        "a held pool keeps its share",
        "planning/share/claims.py",
        "fixed, requests, usage = limits.held, ",
        "fixed, requests, usage = False, ",
        ("test_a_frozen_pool_stays_and_other_pools_get_none_of_its_part()",),
    ),
    Mutant(
        "a pool that stands down keeps its share",
        "planning/limit/limit.py",
        "held=held or is_contested(memory, moment)",
        "held=held",
        ("test_no_other_pool_gets_what_a_contested_pool_has()",),
    ),
    Mutant(
        "requests that cannot be keep the pool's size",
        "planning/share/claims.py",
        "    if requests is not None and not _are_possible(requests):\n",
        "    if False:\n",
        (
            (
                "test_a_pool_with_absurd_requests_keeps_its_size_while_it_should_change("
                "Resources(cpu_milli=-1))"
            ),
        ),
    ),
    Mutant(
        "a task usage that cannot be keeps the pool's size",
        "planning/share/claims.py",
        "    if usage is not None and not _is_possible(usage):\n        return",
        "    if False:\n        return",
        (
            (
                "test_a_pool_with_an_absurd_task_usage_keeps_its_size_while_it_should_change("
                "MEASURED[0])"
            ),
        ),
    ),
    Mutant(
        "a pool whose use is not known still obeys its ceilings",
        "planning/share/claims.py",
        "            replicas, bound, spent = _under_ceilings(current, limits, bound, ceilings)\n",
        "            replicas, spent = current, ()\n",
        ("test_a_pause_stops_a_pool_also_where_its_use_cannot_be({'requests': REQUESTED[0]})",),
    ),
    Mutant(
        "absurd requests of a pool that is being written hold no other pool",
        "planning/share/claims.py",
        "requests if requests is None or _are_possible(requests) else pool.requests",
        "requests",
        (
            (
                "test_absurd_requests_of_a_pool_that_is_being_written_hold_no_other_pool("
                "REQUESTED[0])"
            ),
        ),
    ),
    Mutant(
        "a pool whose Deployment is unknown keeps its share",
        "planning/targets.py",
        "    for number, replicas in (*context.unknown.items(), *changes.fixed.items()):\n"
        "        found[number] = (",
        "    for number, replicas in changes.fixed.items():\n        found[number] = (",
        ("test_a_pool_whose_deployment_is_not_known_keeps_its_part()",),
    ),
    Mutant(
        "a pool that is being written keeps its share",
        "planning/targets.py",
        "    for number, replicas in (*context.unknown.items(), *changes.fixed.items()):\n"
        "        found[number] = (",
        "    for number, replicas in context.unknown.items():\n        found[number] = (",
        ("test_a_pool_that_is_being_written_is_not_decided_and_keeps_its_part()",),
    ),
    Mutant(
        "a higher tier is served first",
        "planning/share/sharing_terms.py",
        "tenants[pool.tenant].tier.priority if pool.tenant in tenants else 0",
        "0",
        ("test_capacity_goes_to_the_higher_tier_but_every_tenant_with_work_keeps_one()",),
    ),
    Mutant(
        "a limit that cut a pool is named in its reasons",
        "planning/share/share.py",
        "return Target(replicas, bound, (*entry.reasons, reason))",
        "return Target(replicas, bound, entry.reasons)",
        ("test_the_smaller_of_a_quota_in_the_file_and_the_namespaces_counts()",),
    ),
    # how it is divided
    Mutant(
        "tenants share by their weights",
        "planning/allocation/stepwise.py",
        "level = max(self._drawn[tenant]) * multiply // divide",
        "level = max(self._drawn[tenant])",
        ("test_weights_split_a_tier()",),
    ),
    Mutant(
        "pools of a tenant share by their weights",
        "planning/allocation/order.py",
        "step = 2 * multiply * size",
        "step = 2 * size",
        ("test_pools_split_what_their_tenant_has_by_their_own_weights()",),
    ),
    Mutant(
        "the largest part of any fair row is the tenant's share",
        "planning/allocation/filling.py",
        "all(each[other] >= each[row] for each in kinds)",
        "all(each[other] <= each[row] for each in kinds)",
        ("test_the_largest_part_of_any_fair_row_is_a_tenants_share()",),
    ),
    Mutant(
        "a soft row takes a replica that it can half feed",
        "planning/allocation/tariff.py",
        "return use if soft is None else max(int(soft * use), 1)",
        "return use",
        ("test_a_soft_row_grants_a_half_fed_replica_and_no_less()",),
    ),
    Mutant(
        "a soft row refuses no floor",
        "planning/allocation/divide.py",
        "fill(filling, pools, claims.floors, strict=False)",
        "fill(filling, pools, claims.floors, strict=True)",
        ("test_a_soft_row_refuses_neither_baseline_nor_floors()",),
    ),
    Mutant(
        "among equals a pool that runs keeps its place",
        "planning/allocation/order.py",
        "waits = filling.current[pool] <= have",
        "waits = True",
        ("test_among_equals_the_pool_that_runs_already_is_first()",),
    ),
    Mutant(
        "the highest tier is served first",
        "planning/allocation/field.py",
        "sorted(by_tier.items(), reverse=True)",
        "sorted(by_tier.items())",
        ("test_the_higher_tier_has_all_it_needs_before_the_lower_shares()",),
    ),
    Mutant(
        "every tenant with work has a baseline replica",
        "planning/allocation/divide.py",
        "    baseline.grant(tiers.values(), policy.baseline)\n",
        "",
        ("test_the_higher_tier_has_all_it_needs_before_the_lower_shares()",),
    ),
    Mutant(
        "a baseline is named only where it decided",
        "planning/allocation/baseline.py",
        "return [each for each in self._lacking if each > tier]",
        "return list(self._lacking)",
        ("test_a_baseline_that_decides_is_named()",),
    ),
    Mutant(
        "a baseline that passed a soft row names that row",
        "planning/allocation/baseline.py",
        "self.lenient[pool] = refused",
        "pass",
        ("test_a_baseline_that_a_rate_limit_could_not_feed_is_named()",),
    ),
    Mutant(
        "a held pool keeps the places it has",
        "planning/allocation/divide.py",
        "rows.place_held(pool, claims.current[pool])",
        "rows.place_held(pool, 0)",
        ("test_a_held_pool_counts_as_it_is_and_no_other_pool_gets_its_places()",),
    ),
    Mutant(
        "several grants at once equal the same grants one by one",
        "planning/allocation/leaping.py",
        "return all(drawn[row] <= left for row, left in room.items())",
        "return all(drawn[row] <= left + 9 for row, left in room.items())",
        ("test_many_replicas_at_once_are_granted_as_one_by_one()",),
    ),
    Mutant(
        "large weights are compared exactly",
        "planning/allocation/exact.py",
        "            scale = 2 * largest * largest\n",
        "            scale = largest\n",
        ("test_weights_of_any_size_are_compared_exactly()",),
    ),
    Mutant(
        "a row of one tenant is not overdrawn",
        "planning/allocation/prospect.py",
        "(left[row] - need) // use_by_row[row] + 1, 0)",
        "(left[row] - need) // use_by_row[row] + 2, 0)",
        ("test_a_row_of_one_tenant_stops_that_tenant_alone()",),
    ),
    Mutant(
        "other rows of a tenant count beside its own",
        "planning/allocation/advancing.py",
        "everywhere.takes, gained)",
        "everywhere.takes[:1], gained)",
        ("test_a_row_of_one_tenant_stops_that_tenant_alone()",),
    ),
    Mutant(
        "a row that several tenants use is not one tenant's own",
        "planning/allocation/owners.py",
        "owner_of[row] = tenant if owner_of[row] == UNUSED else SHARED",
        "owner_of[row] = tenant",
        ("test_a_tenant_with_many_pools_has_no_larger_share()",),
    ),
    Mutant(
        "a large demand is served completely, piece by piece",
        "planning/allocation/order.py",
        "self.goes_on = horizon is not None",
        "self.goes_on = False",
        ("test_a_large_demand_on_classes_of_nodes_is_served_completely()",),
    ),
    Mutant(
        "every piece of the order ends at the same share for all pools",
        "planning/allocation/order.py",
        "high = min(high, offset + (horizon * divide - 1) // multiply + 1)",
        "high = min(high, filling.have[pool] + AHEAD)",
        ("test_a_large_demand_is_put_in_order_piece_by_piece()",),
    ),
    Mutant(
        "a refusal names the row that refused first",
        "planning/allocation/stepwise.py",
        "filling.refused_by[pool] = filling.rows.give(pool, strict=self._strict)",
        "filling.refused_by[pool] = row",
        ("test_the_first_row_that_refuses_is_the_one_that_is_named()",),
    ),
)
