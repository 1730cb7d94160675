"""A process with a pool, to be killed: two runs that go on until they are stopped."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.sweeps import QUICK
from trpo_cli.sweeps.pool import Pool, Run

if __name__ == "__main__":
    with Pool(2, main=QUICK) as pool:
        for number in range(2):
            pool.submit(Run(number, ("work",), Path(sys.argv[1], str(number))))
        if "die" in sys.argv:
            me = os.getpid()
            print(Path(f"/proc/{me}/task/{me}/children").read_text(), flush=True)
            os.kill(me, signal.SIGKILL)
        pool.wait()
