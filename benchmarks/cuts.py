"""Are shots detected? Precision and recall on films with known transitions.

    python benchmarks/cuts.py [--films N] [--stills DIR] [--clips DIR]

Films are painted from a seed (`tests/transitions.py`), or made of the pictures and clips in given
folders. If `scenedetect` is installed, PySceneDetect's detectors are compared: on luma alone, with
shots of five frames or more, and each with the best of several thresholds for these films.
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
_SIDE = 120  # short side of frames that are read, pixels
_MIN_CLIP = 70  # frames
_MIN_SHOT = 5  # frames, for PySceneDetect


def run_filmcolor(film: Film) -> list[Mark]:
    """Return the transitions that filmcolor detects."""
    frames = (
        proxy_frame(LumaFrame(n, _NO_LUMA, n, 1), picture) for n, picture in enumerate(film.frames)
    )
    return [
        (f.source.number, transition) for f, transition in find_transitions(frames) if transition
    ]


def wrap_detector(make: Callable[[float], Any], threshold: float) -> Callable[[Film], list[Mark]]:
    """Return a function that runs one of PySceneDetect's detectors on a film."""
    from scenedetect import FrameTimecode

    def detect(film: Film) -> list[Mark]:
        detector, cuts = make(threshold), []
        for n, picture in enumerate(film.frames):
            color = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
            cuts += detector.process_frame(FrameTimecode(n, 24.0), color)
        cuts += detector.post_process(FrameTimecode(len(film.frames) - 1, 24.0))
        return [(cut.frame_num, "cut") for cut in cuts]

    return detect


def detectors() -> dict[str, list[Callable[[Film], list[Mark]]]]:
    """Return the detectors by name, each with one or several thresholds."""
    all_detectors: dict[str, list[Callable[[Film], list[Mark]]]] = {"filmcolor": [run_filmcolor]}
    if importlib.util.find_spec("scenedetect") is None:
        return all_detectors
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
        all_detectors[name] = [wrap_detector(make, threshold) for threshold in thresholds]
    return all_detectors


def read_stills(folder: Path) -> list[Luma]:
    """Return the readable pictures of a folder as luma in 0..1."""
    pictures = (cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in sorted(folder.rglob("*.*")))
    return [p.astype(np.float32) / 255.0 for p in pictures if p is not None]


def read_clips(folder: Path) -> list[NDArray[np.uint8]]:
    """Return the readable films of a folder that are long enough, downscaled."""
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
@click.option(
    "--stills", type=click.Path(path_type=Path), metavar="DIR", help="Pictures to use as scenes."
)
@click.option(
    "--clips",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Films without a cut to use as shots.",
)
def main(films: int, seed: int, stills: Path | None, clips: Path | None) -> None:
    """Print precision and recall of hard cuts, by kind of film and by detector."""
    source = Source(
        pictures=read_stills(stills) if stills else (), clips=read_clips(clips) if clips else ()
    )
    all_films = list(make_films(films, source, seed=seed))
    kinds: dict[str, Score] = {}
    started = time.monotonic()
    for film in all_films:
        kinds.setdefault(film.kind, Score()).add(film.transitions, run_filmcolor(film))
    seconds = time.monotonic() - started
    for kind, score in kinds.items():
        print(_line(kind, score))
    num = sum(len(film.frames) for film in all_films)
    print(f"{num} frames, {1000 * seconds / num:.2f} ms per frame\n")
    for name, settings in detectors().items():
        scores = []
        for detect in settings:
            score = Score()
            for film in all_films:
                score.add(film.transitions, detect(film))
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
