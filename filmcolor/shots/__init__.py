"""Shot detection, and what chroma a shot already has."""
