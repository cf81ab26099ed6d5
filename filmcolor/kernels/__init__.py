"""The per-frame hot loops, compiled or in NumPy."""
