"""``python -m trpo_cli`` is ``trpo-run``."""

import sys

from trpo_cli.cli import main

sys.exit(main())
