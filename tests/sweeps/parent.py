"""A process with a pool, to be killed: two jobs that go on until they are stopped."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.sweeps import QUICK
from trpo_cli.sweeps.pool import Job, Pool

if __name__ == "__main__":
    with Pool(2, main=QUICK) as pool:
        for number in range(2):
            pool.submit(Job(number, (sys.argv[2],), Path(sys.argv[1], str(number))))
        pool.wait()
