"""Errors of the studio that a web page must be able to tell from others."""

from filmcolor.errors import FilmcolorError


class NotFoundError(FilmcolorError):
    """Nothing has this address: a film that is not open, a frame without strokes."""


class ConflictError(FilmcolorError):
    """What was to be changed has been changed by someone else meanwhile."""
