"""What can go wrong, as a tree.

    FilmcolorError
    ├── InputError          the film or picture cannot be used      (also ValueError)
    │   └── RangeError      the range asked for is not in the film
    ├── OutputError         the result cannot be written            (also OSError)
    │   └── ContainerError  the container cannot hold what it should
    ├── WeightsError        weights are missing, broken, or another network's
    ├── SettingsError       an option has no meaning here           (also ValueError)
    └── VerifyError         the finished film differs from its source

Every message names the thing and the remedy in one line. The library raises;
the command line translates once, to exit code 1. Anything else is a bug and
keeps its traceback.
"""


class FilmcolorError(Exception):
    """Base of every error that a user can cause or mend."""


class InputError(FilmcolorError, ValueError):
    """The film or picture cannot be used."""


class RangeError(InputError):
    """The range asked for is not in the film."""


class OutputError(FilmcolorError, OSError):
    """The result cannot be written where it should go."""


class ContainerError(OutputError):
    """The container cannot hold a stream that belongs in it."""


class WeightsError(FilmcolorError):
    """Weights are missing, broken, or belong to another network."""


class SettingsError(FilmcolorError, ValueError):
    """An option has a value that has no meaning here."""


class VerifyError(FilmcolorError):
    """The finished film differs from its source."""
