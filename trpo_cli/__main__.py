"""``python -m trpo_cli`` is ``trpo-run``."""

import sys

from trpo_cli.commands.run import main

sys.exit(main())
