"""Scores weights against true colours."""
