"""A deploy in a process of its own, to be killed. Arguments: environment, state, checkout, ref."""

import json
import sys
from pathlib import Path

from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release.deploy import Request, deploy

name, state, checkout, ref = sys.argv[1:]
environment = Inventory.load(name, state=Path(state))
request = Request(checkout=Path(checkout), ref=ref)
end = deploy(environment, request, lambda record: print(json.dumps(record), flush=True))  # noqa: T201 - what the test reads
sys.exit(end.exit)
