"""Plans, encodes, muxes and verifies the output."""
