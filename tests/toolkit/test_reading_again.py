"""Heights that no quorum told are read again, and nothing that was told once is lost."""

import json
import subprocess
import sys

READ = """
import json
from aitbc_load.chainwatch import Block
from aitbc_load.swarm.concluding import whole

block = Block("b", 1, ())
asked = []
told = [
    {1: {"v1": block, "v2": block, "v3": block}, 2: {"v1": block}},
    {2: {"v2": block}},
    {2: {"v3": block}},
]

def read(first, last):
    asked.append([first, last])
    return told.pop(0) if told else {}

powers = dict.fromkeys(("v1", "v2", "v3", "v4"), 1)
seen = whole(read, powers, [1, 2], within_s=600.0)
gone = whole(read, powers, [1, 2], within_s=0.0)
print(json.dumps({"asked": asked, "seen": {k: sorted(v) for k, v in seen.items()}, "gone": gone}))
"""


def test_a_gap_in_the_heights_is_read_again_until_a_quorum_told_it() -> None:
    """Only the gap is asked for again; three nodes that told it one after the other are three."""
    argv = [sys.executable, "-c", READ]
    told = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)

    assert told["asked"] == [[1, 2], [2, 2], [2, 2], [1, 2]]
    assert told["seen"] == {"1": ["v1", "v2", "v3"], "2": ["v1", "v2", "v3"]}
    assert told["gone"] == {}
