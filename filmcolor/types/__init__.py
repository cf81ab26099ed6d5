"""Frozen types that cross module borders."""
