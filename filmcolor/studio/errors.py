"""Errors of the studio that a web page must be able to tell from others."""

from filmcolor.errors import FilmcolorError


class NotFoundError(FilmcolorError):
    """Nothing has this address: a film that is not open, a frame without strokes."""


class ConflictError(FilmcolorError):
    """What was to be changed has been changed by someone else meanwhile."""


class ForbiddenError(FilmcolorError):
    """The person who started the studio did not choose this file or folder."""


class TooLargeError(FilmcolorError):
    """What was sent is larger than the studio accepts."""


class DiskFullError(FilmcolorError):
    """The disk has no room for a file."""
