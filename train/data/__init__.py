"""Stills as training data."""
