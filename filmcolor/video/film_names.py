"""Films by their names."""

import re

# of films, in lower case; what other suffixes hold is decided by reading the file
FILM_SUFFIXES = frozenset(
    {
        *(".3gp", ".avi", ".divx", ".dv", ".flv", ".h264", ".h265", ".m2ts", ".m2v", ".m4v"),
        *(".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts"),
        *(".vob", ".webm", ".wmv"),
    }
)
# the stem of an output: NAME.color, NAME.preview or NAME.preview-2; NAME.color.unverified is one
# that differs from its film
OUTPUT_STEM = re.compile(r"(.+)\.(?:color(?:\.unverified)?|preview(?:-\d+)?)")
