"""Training: stills in, weights out. Installed as `filmcolor.train`."""
