"""Chooses stills for training from colour films and photographs."""
