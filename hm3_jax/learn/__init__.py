"""Training: features on the device, compiled epochs, evaluation, checkpoints, runs."""
