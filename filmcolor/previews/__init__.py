"""Previews of a run: clips, contact sheets, shot sheets and exported frames of shots."""
