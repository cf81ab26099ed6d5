"""Clips, contact sheets and shot exports to look at."""
