"""The parts of ``trpo-run``: composing, explaining errors, help, single runs and sweeps."""
