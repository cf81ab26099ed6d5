"""Compares weights with the true colours of pictures or of a film.

Each combination of weights, size and saturation is a row, beside rows for grey and for the truth.
A folder of pictures is evaluated without PyAV.
"""

from pathlib import Path

from filmcolor.errors import InputError, SettingsError
from filmcolor.images.image_file import STILL_SUFFIXES
from filmcolor.train.evaluation.options import Evaluation, EvaluationOptions, Progress
from filmcolor.train.evaluation.pictures import evaluate_pictures
from filmcolor.train.evaluation.sheet import SheetOptions
from filmcolor.types.film import WHOLE, TimeRange


def evaluate(
    data: str | Path,
    options: EvaluationOptions,
    *,
    time_range: TimeRange = WHOLE,
    sheet: SheetOptions | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Return the figures of weights on a folder of pictures, or on a film.

    `time_range`: of a film. `progress(done, total)` is called after every picture or frame.
    Raises InputError when there is no such data or nothing in it has colour, SettingsError when an
    option does not apply to it, OutputError when the sheet cannot be written.
    """
    path = Path(data)
    if path.is_dir():
        if not time_range.is_whole:
            raise SettingsError(f"{path} holds pictures: a range is of a film; leave it out")
        return evaluate_pictures(path, options, sheet, progress)
    if path.is_file() and path.suffix.lower() in STILL_SUFFIXES:
        raise InputError(f"{path} is one picture; name the folder that holds it")
    if options.is_flip_averaged or options.is_old_stock:
        raise SettingsError(f"{path} is a film: old stock and flips are for folders of pictures")
    from filmcolor.train.evaluation.film import evaluate_film  # imports PyAV

    return evaluate_film(path, options, time_range, sheet, progress)
