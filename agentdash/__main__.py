"""`python -m agentdash` is `agentdash`."""

import sys

from agentdash.cli import main

sys.exit(main())
