"""Training on a CPU that touches kept weights only."""
