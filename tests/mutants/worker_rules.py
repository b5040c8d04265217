"""The rules by which workers lose no task, no token and no budget."""

from __future__ import annotations

from typing import Final

from support.mutation import Mutant

_DELIVERY: Final = "agentdash/worker/delivery.py"
_SETTINGS: Final = "agentdash/worker/settings.py"

WORKER_RULES: Final = (
    Mutant(
        "a result is stored before its message is acknowledged",
        _DELIVERY,
        "                await self._keep(task, session, outcome, seconds)\n"
        "                await self._acknowledge()\n",
        "                await self._acknowledge()\n"
        "                await self._keep(task, session, outcome, seconds)\n",
        (
            "test_a_result_is_stored_before_its_message_is_acknowledged()",
            "test_a_message_whose_result_is_not_stored_stays_unacknowledged()",
        ),
    ),
    Mutant(
        "a delivery that a later one has overtaken stores no checkpoint",
        "agentdash/worker/stores.py",
        "            if _delivery(stored) > delivery:\n                return False\n",
        "",
        ("test_a_checkpoint_of_a_delivery_that_was_overtaken_is_refused()",),
    ),
    Mutant(
        "a task that is published once more has overtaken its first message",
        "agentdash/worker/stores.py",
        "            if _delivery(stored) > delivery:\n",
        "            if _delivery(stored).time > delivery.time:\n",
        ("test_a_checkpoint_of_a_delivery_that_was_overtaken_is_refused()",),
    ),
    Mutant(
        "a try that is cut reports what it used",
        _DELIVERY,
        "        await self._desk.usage.report(session, seconds, self.run)\n",
        "        if isinstance(outcome, Ended):\n"
        "            await self._desk.usage.report(session, seconds, self.run)\n",
        ("test_a_try_that_is_cut_reports_what_it_used()",),
    ),
    Mutant(
        "AGENTDASH_RATES is read",
        _SETTINGS,
        '        rates=given.read("AGENTDASH_RATES", _rates, otherwise={}),\n',
        "",
        ("test_models_and_their_rates_are_read()",),
    ),
    Mutant(
        "AGENTDASH_MODELS is read",
        _SETTINGS,
        '        models=given.read("AGENTDASH_MODELS", _models, otherwise=()),\n',
        "",
        ("test_models_and_their_rates_are_read()",),
    ),
    Mutant(
        "a worker tells JetStream that it works as often as its most impatient queue needs",
        "agentdash/worker/life.py",
        "min(ack_wait_s) / HEARTBEATS_PER_ACK_WAIT",
        "max(ack_wait_s) / HEARTBEATS_PER_ACK_WAIT",
        ("test_a_long_task_of_the_most_impatient_queue_is_kept_alive()",),
    ),
    Mutant(
        "a call that is cut while its cost is settled is settled all the same",
        "agentdash/worker/calls.py",
        "await asyncio.shield(self._settle(reserved, amount, used))",
        "await self._settle(reserved, amount, used)",
        ("test_a_call_that_is_cut_while_its_cost_is_settled_is_settled_all_the_same()",),
    ),
)
