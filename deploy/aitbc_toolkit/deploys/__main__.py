"""Serve one deploy: jobs come in as JSON lines, answers go out as JSON lines.

Always a process of its own: pyinfra needs gevent's patches, which asyncio code must not meet.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 - the patches come before everything else, or time-outs are ignored
import logging  # noqa: E402 - as above
import os  # noqa: E402 - as above
import sys  # noqa: E402 - as above

# Paramiko can do without it, reads no configuration that needs it here, and loads 60 ms sooner.
sys.modules["invoke"] = None  # type: ignore[assignment]  # None is how an import is refused

from typing import Any  # noqa: E402 - as above

from gevent.fileobject import FileObjectPosix  # noqa: E402 - as above

from aitbc_toolkit.deploys.session import Session  # noqa: E402 - as above


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
            rows = session.step(job["step"], job["params"], deadline_s=job["deadline_s"])
            tell({"job": job["job"], "rows": rows})
    finally:
        session.close()
        answers.close()
    # Taking 600 modules apart helps nobody, and whoever started this waits for its end.
    os._exit(0)


if __name__ == "__main__":
    main()
