"""Picks stills from colour films and photographs."""
