"""Are shots told apart? Precision and recall on films whose transitions are known.

    python benchmarks/cuts.py [--films N] [--stills DIR] [--clips DIR]

Films are painted from a seed (`tests/transitions.py`), or made of the pictures and clips
in the folders given. PySceneDetect's detectors stand beside ours where `scenedetect` can be
imported: with luma alone, shots of five frames and more, and of several thresholds the one that
scores best on these very films.
"""

import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from transitions import Film, Luma, Mark, Score, Source, make_films

from filmcolor import FilmcolorError, probe
from filmcolor.shots.detector import find_transitions
from filmcolor.types.frames import LumaFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.proxy import downscale, proxy_frame, proxy_size

_NO_LUMA = np.zeros((1, 1), np.uint8)
_SIDE = 120  # short side of what is read, pixels
_MIN_CLIP = 70  # frames
_MIN_SHOT = 5  # frames, for PySceneDetect


def ours(film: Film) -> list[Mark]:
    """Return what filmcolor finds."""
    frames = (
        proxy_frame(LumaFrame(n, _NO_LUMA, n, 1), picture) for n, picture in enumerate(film.frames)
    )
    return [(f.source.number, kind) for f, kind in find_transitions(frames) if kind]


def theirs(make: Callable[[float], Any], threshold: float) -> Callable[[Film], list[Mark]]:
    """Return what one of PySceneDetect's detectors finds, as a function of a film."""
    from scenedetect import FrameTimecode

    def find(film: Film) -> list[Mark]:
        detector, found = make(threshold), []
        for n, picture in enumerate(film.frames):
            color = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
            found += detector.process_frame(FrameTimecode(n, 24.0), color)
        found += detector.post_process(FrameTimecode(len(film.frames) - 1, 24.0))
        return [(cut.frame_num, "cut") for cut in found]

    return find


def detectors() -> dict[str, list[Callable[[Film], list[Mark]]]]:
    """Return all that are compared, each with one or several thresholds."""
    found: dict[str, list[Callable[[Film], list[Mark]]]] = {"filmcolor": [ours]}
    if importlib.util.find_spec("scenedetect") is None:
        return found
    import scenedetect as sd

    makers: list[tuple[str, Callable[[float], Any], Sequence[float]]] = [
        (
            "ContentDetector",
            lambda t: sd.ContentDetector(t, min_scene_len=_MIN_SHOT, luma_only=True),
            (16.0, 20.0, 27.0, 34.0, 42.0),
        ),
        (
            "AdaptiveDetector",
            lambda t: sd.AdaptiveDetector(t, min_scene_len=_MIN_SHOT, luma_only=True),
            (1.7, 2.2, 3.0, 4.0, 5.5),
        ),
        (
            "HistogramDetector",
            lambda t: sd.HistogramDetector(t, min_scene_len=_MIN_SHOT),
            (0.1, 0.2, 0.35, 0.5, 0.7),
        ),
        (
            "HashDetector",
            lambda t: sd.HashDetector(t, min_scene_len=_MIN_SHOT),
            (0.25, 0.3, 0.35, 0.4, 0.45),
        ),
    ]
    for name, make, thresholds in makers:
        found[name] = [theirs(make, threshold) for threshold in thresholds]
    return found


def read_stills(folder: Path) -> list[Luma]:
    """Return the pictures of a folder as luma in 0..1, those that cannot be read left out."""
    pictures = (cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in sorted(folder.rglob("*.*")))
    return [p.astype(np.float32) / 255.0 for p in pictures if p is not None]


def read_clips(folder: Path) -> list[NDArray[np.uint8]]:
    """Return the films of a folder, small, those left out that are short or cannot be read."""
    clips = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            info = probe(path)
            size = proxy_size(*info.display_size, _SIDE)
            frames = [downscale(f.luma, size, info.coding) for f in read_luma(info)]
        except FilmcolorError:
            continue
        if len(frames) >= _MIN_CLIP:
            clips.append(np.stack(frames))
    return clips


@click.command()
@click.option("--films", default=4, show_default=True, metavar="N", help="Of each kind.")
@click.option("--seed", default=0, show_default=True, metavar="N")
@click.option("--stills", type=click.Path(path_type=Path), metavar="DIR", help="Scenes to cut.")
@click.option(
    "--clips", type=click.Path(path_type=Path), metavar="DIR", help="Films without a cut."
)
def main(films: int, seed: int, stills: Path | None, clips: Path | None) -> None:
    """Print precision and recall of hard cuts, by kind of film and for all detectors."""
    source = Source(
        pictures=read_stills(stills) if stills else (), clips=read_clips(clips) if clips else ()
    )
    made = list(make_films(films, source, seed=seed))
    kinds: dict[str, Score] = {}
    started = time.monotonic()
    for film in made:
        kinds.setdefault(film.kind, Score()).add(film.transitions, ours(film))
    seconds = time.monotonic() - started
    for kind, score in kinds.items():
        print(_line(kind, score))
    num = sum(len(film.frames) for film in made)
    print(f"{num} frames, {1000 * seconds / num:.2f} ms a frame\n")
    for name, settings in detectors().items():
        scores = []
        for find in settings:
            score = Score()
            for film in made:
                score.add(film.transitions, find(film))
            scores.append(score)
        print(_line(name, max(scores, key=lambda s: s.f1)))


def _line(name: str, score: Score) -> str:
    return (
        f"{name:24} cuts {score.cuts_found:3}/{score.cuts:<3}  false {score.false_cuts:3}  "
        f"P {score.precision:.3f}  R {score.recall:.3f}   gradual {score.gradual_found:3}/"
        f"{score.gradual:<3}  false {score.false_gradual}"
    )


if __name__ == "__main__":
    main()
