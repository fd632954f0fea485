"""Run a program in a process of its own: gevent shares none with asyncio."""

import json
import subprocess
import sys
from typing import Any


def told(program: str, *words: str) -> Any:
    """Run Python text with these arguments; return what it printed, read as JSON."""
    argv = [sys.executable, "-c", program, *words]
    done = subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return json.loads(done.stdout)
