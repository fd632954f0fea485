"""How does `ungated` begin? As `aitbc` does, for it is timed as that would be: the worker first."""

import gc
import sys

from aitbc_toolkit import worker

if __name__ == "__main__":
    gc.disable()
    worker.keep_compiled()
    worker.start_early()
    from aitbc_toolkit.benchmarks import ungated

    gc.freeze()
    gc.enable()
    sys.exit(ungated.main(sys.argv[1]))
