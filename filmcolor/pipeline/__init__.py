"""The stages wired together, runs, batches and photos."""
