"""Serve one deploy: jobs come in as JSON lines, answers go out as JSON lines.

Always a process of its own: pyinfra needs gevent's patches, which asyncio code must not meet.
"""

import gc

# Nothing of what is imported is ever garbage: to look for it takes a tenth of the time.
gc.disable()

from aitbc_toolkit import worker  # noqa: E402 - garbage is not looked for meanwhile
from aitbc_toolkit.deploys import unneeded  # noqa: E402 - as above

worker.keep_compiled()
unneeded.leave_out()

from gevent import monkey  # noqa: E402 - as above

monkey.patch_all(ssl=False)  # nothing here speaks TLS

import json  # noqa: E402 - the patches come before everything else, or time-outs are ignored
import logging  # noqa: E402 - as above
import os  # noqa: E402 - as above
import sys  # noqa: E402 - as above
from typing import Any  # noqa: E402 - as above

from gevent.fileobject import FileObjectPosix  # noqa: E402 - as above
from pyinfra.api.connectors import get_all_connectors  # noqa: E402 - as above

from aitbc_toolkit.deploys.session import Session  # noqa: E402 - as above

# pyinfra would import them with the first hosts, when somebody waits for that.
get_all_connectors()

gc.freeze()
gc.enable()


def main() -> None:
    """Answer jobs until standard input ends."""
    jobs = FileObjectPosix(0, "rb")
    hello = jobs.readline()
    if not hello:
        return  # started early by a command that came to no host
    environment = json.loads(hello)
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    log = os.open(environment["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    # Whatever a library prints must not stand between our answers.
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    logging.getLogger("pyinfra").setLevel(logging.CRITICAL)

    def tell(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    session = Session(environment["hosts"])
    try:
        for line in jobs:
            job = json.loads(line)
            if "step" not in job:
                session.begin()
                continue
            rows = session.step(job["step"], job["params"], deadline_s=job["deadline_s"])
            tell({"job": job["job"], "rows": rows})
    finally:
        session.close()
        answers.close()
    # Taking 600 modules apart helps nobody, and whoever started this waits for its end.
    os._exit(0)


if __name__ == "__main__":
    main()
