"""Colours films on many machines: plans, pieces, engines, storage and an archive's books."""
