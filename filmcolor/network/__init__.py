"""The colour networks, and running them."""
