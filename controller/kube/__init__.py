"""Everything that speaks to Kubernetes.

The official package runs its blocking client when it is imported, with requests, oauthlib and
websocket-client: 10 MiB and 0.1 s that nothing here needs. So the package is known as a place of
modules, and only its asyncio client is run.
"""

import sys
from importlib.util import find_spec, module_from_spec

if "kubernetes" not in sys.modules and (_official := find_spec("kubernetes")) is not None:
    sys.modules["kubernetes"] = module_from_spec(_official)
