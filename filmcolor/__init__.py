"""filmcolor: an old black-and-white film goes in, the same film comes out in colour.

    from filmcolor import colorize, preview, probe

The names are loaded when they are first used, so that `import filmcolor` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filmcolor.batch import colorize_films, colorize_in_processes
    from filmcolor.errors import FilmcolorError
    from filmcolor.exports import export_shots
    from filmcolor.frames import FilmInfo, Span
    from filmcolor.measuring import Drawings, Measures, measure
    from filmcolor.photo import colorize_photo
    from filmcolor.pipeline import Look, Report, colorize
    from filmcolor.plan import Encoding
    from filmcolor.previews import contact_sheet, preview
    from filmcolor.probing import probe
    from filmcolor.shot_list import Shot, find_shots
    from filmcolor.verification import verify
    from filmcolor.workers import Outcome

__version__ = "0.1.0"

_HOMES = {
    "colorize_films": "batch",
    "colorize_in_processes": "batch",
    "FilmcolorError": "errors",
    "export_shots": "exports",
    "FilmInfo": "frames",
    "Span": "frames",
    "Drawings": "measuring",
    "Measures": "measuring",
    "measure": "measuring",
    "Look": "pipeline",
    "Report": "pipeline",
    "colorize": "pipeline",
    "Encoding": "plan",
    "colorize_photo": "photo",
    "contact_sheet": "previews",
    "preview": "previews",
    "probe": "probing",
    "Shot": "shot_list",
    "find_shots": "shot_list",
    "verify": "verification",
    "Outcome": "workers",
}

__all__ = [
    "Drawings",
    "Encoding",
    "FilmInfo",
    "FilmcolorError",
    "Look",
    "Measures",
    "Outcome",
    "Report",
    "Shot",
    "Span",
    "colorize",
    "colorize_films",
    "colorize_in_processes",
    "colorize_photo",
    "contact_sheet",
    "export_shots",
    "find_shots",
    "measure",
    "preview",
    "probe",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'filmcolor' has no attribute {name!r}")
    return getattr(import_module(f"filmcolor.{_HOMES[name]}"), name)
