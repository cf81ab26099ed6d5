"""The exception hierarchy.

    FilmcolorError
    ├── InputError          the film or picture cannot be used      (also ValueError)
    │   └── RangeError      the requested range is not in the film
    ├── OutputError         the result cannot be written            (also OSError)
    │   └── ContainerError  the container cannot hold a stream
    ├── PlanError           a plan is of another film, version or weights, or damaged
    │   ├── MissingPiecesError  pieces of a plan are not finished yet
    │   └── OtherMachineError   a machine of another kind than the plan's, with --strict-equal
    ├── StorageError        storage is out of reach for now; try again
    ├── WeightsError        weights are missing, broken, or for another network
    ├── SettingsError       an option has a meaningless value       (also ValueError)
    └── VerifyError         the finished film differs from its source

Every message names the thing and the remedy in one line. The library raises; the command line
translates once, to exit code 1. Any other exception is a bug and keeps its traceback.
"""


class FilmcolorError(Exception):
    """Base class of all errors that a user can cause or fix."""


class InputError(FilmcolorError, ValueError):
    """The film or picture cannot be used."""


class RangeError(InputError):
    """The requested range is not in the film."""


class OutputError(FilmcolorError, OSError):
    """The result cannot be written where it should go."""


class ContainerError(OutputError):
    """The container cannot hold a stream that belongs in it."""


class StorageError(FilmcolorError):
    """A store of films and pieces cannot be reached now, or gave broken data; try again later.

    Neither ValueError nor OSError: code that goes on without a file must not go on without this.
    """


class PlanError(FilmcolorError):
    """The plan of a film cannot be used here."""


class MissingPiecesError(PlanError):
    """Pieces of a plan are not finished yet."""


class OtherMachineError(PlanError):
    """The machine is of another kind than the one that planned, and all must be equal."""


class WeightsError(FilmcolorError):
    """Weights are missing, broken, or belong to another network."""


class SettingsError(FilmcolorError, ValueError):
    """An option has a value without a meaning here."""


class VerifyError(FilmcolorError):
    """The finished film differs from its source."""


def error_of(bug: BaseException, remedy: str = "the traceback says where") -> FilmcolorError:
    """Return an error in one line for a bug, or a fault of the machine, that ends one of many."""
    reason = " ".join(f"{type(bug).__name__} {bug}".split())
    return FilmcolorError(f"{reason}; {remedy}")


def without_traceback(error: FilmcolorError) -> FilmcolorError:
    """Return the same error without its traceback, which would keep a run's frames in memory."""
    return type(error)(str(error))
