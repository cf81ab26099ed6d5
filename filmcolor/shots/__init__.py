"""Detects shots, and classifies the chroma that a shot already has."""
