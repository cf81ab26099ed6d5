"""Keeps the captions beside an archive's outputs apart from files that are not the archive's.

Outputs with captions have sidecars, NAME.scc and NAME.srt, which the books do not list.
"""

from pathlib import Path

from filmcolor.errors import OutputError
from filmcolor.farm.manifest import Manifest
from filmcolor.output.captions import sidecar_paths


def films_with_captions(manifest: Manifest) -> frozenset[int]:
    """Return the numbers of the films whose captions an earlier run has written."""
    settings = manifest.settings()
    runs = {
        run["id"]
        for run in manifest.runs()
        if settings[run["settings_id"]].get("encoding", {}).get("captions")
    }
    return frozenset(
        attempt["film_id"]
        for attempt in manifest.attempts()
        if attempt["run_id"] in runs and attempt["ending"] == "verified"
    )


def check_captions(output: Path) -> None:
    """Raise OutputError when a file is in the place of an output's captions."""
    for path in sidecar_paths(output):
        if path.exists():
            raise OutputError(
                f"{path} exists and is not in the books; move it away, or add --force to replace it"
            )
