"""`agentdash worker`: runs an agent as a worker."""

from __future__ import annotations

from agentdash.output import note
from agentdash.verbs.agents import AgentError, load_agent
from agentdash.worker import Worker, WorkerSettingsError
from controller.exit_codes import ExitCode
from controller.logs import log_json


def run_worker(name: str) -> ExitCode:
    """Run the agent `module:function` until SIGTERM or SIGINT, as the environment says."""
    try:
        agent = load_agent(name)
        log_json()
        Worker.from_env(agent).run()
    except (AgentError, WorkerSettingsError) as error:
        note(str(error))
        return ExitCode.USAGE
    return ExitCode.OK
