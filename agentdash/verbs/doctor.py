"""`agentdash doctor`: whether a fleet can be run as its file says."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from agentdash.output import note, tell
from agentdash.verbs.waiting import waiting_for_nats
from controller.doctor.examine import examine
from controller.doctor.report import encode
from controller.engine.clock import SystemClock
from controller.exit_codes import ExitCode
from controller.logs import log_nowhere
from controller.model.settings import Settings
from controller.model.snapshot import Diagnosis, Report


def show_doctor(settings: Settings, options: Namespace) -> ExitCode:
    """Print a line for each thing that was looked at; OK if all of it works."""
    for notice in settings.notices:
        note(str(notice))
    found = find_faults(settings)
    tell(encode(found) if options.as_json else _text(found))
    return ExitCode.FAILED if found.has_failure else ExitCode.OK


def find_faults(settings: Settings) -> Report:
    """Run all checks; what goes wrong is a line of the report."""
    log_nowhere()  # the lines say what the connections would log
    with waiting_for_nats(settings.nats, "Kubernetes"):
        return asyncio.run(examine(settings, SystemClock()))


def _text(found: Report) -> str:
    width = max(len(_about(line)) for line in found.lines)
    return "\n".join(_line(line, width) for line in found.lines)


def _about(line: Diagnosis) -> str:
    return f"{line.check} {line.subject}".rstrip()


def _line(line: Diagnosis, width: int) -> str:
    todo = f" -> {line.todo}" if line.todo else ""
    return f"{line.level:<4}  {_about(line):<{width}}  {line.text}{todo}"
