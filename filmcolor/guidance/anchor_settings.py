"""How often a model runs on a film: the values of `--anchors`."""

import math
from contextlib import suppress

from filmcolor.errors import SettingsError

# how often a model runs, besides a number of seconds
AUTO, SHOT, EVERY_ANCHOR = "auto", "shot", "all"


def check_anchors(anchors: str) -> None:
    """Raise SettingsError when a text does not say how often a model runs."""
    if anchors not in (AUTO, SHOT, EVERY_ANCHOR) and not seconds_between(anchors) > 0.0:
        raise SettingsError(
            f"anchors {anchors!r} must be {AUTO}, {SHOT}, {EVERY_ANCHOR} or a number of seconds"
        )


def seconds_between(text: str) -> float:
    """Return the seconds between two runs of a model, 0 where a text is no such number."""
    with suppress(ValueError):
        seconds = float(text)
        return seconds if math.isfinite(seconds) else 0.0
    return 0.0
