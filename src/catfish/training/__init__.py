"""Training runs: batches on the device, the loop, checkpoints, and what is measured along the way."""
