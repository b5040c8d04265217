"""Lets `python -m agentdash` do what `agentdash` does."""

import sys

from agentdash.cli import main

sys.exit(main())
