"""Experiment trackers beside the run's files: Weights & Biases, MLflow, Trackio, one's own."""
