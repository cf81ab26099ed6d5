"""Frames that a cache helps to colour equal those without one, in any order of asking."""

from pathlib import Path

import media
import numpy as np
import pytest
from media import Film, shoot

from filmcolor.guidance.grading import Palette
from filmcolor.guidance.guidance import Guidance
from filmcolor.guidance.references import Reference
from filmcolor.network.prediction_cache import PredictionCache
from filmcolor.pipeline.colorizer import Colorizer
from filmcolor.pipeline.film_cache import FilmCache
from filmcolor.pipeline.options import ColorOptions
from filmcolor.runtime.byte_cache import ByteCache
from filmcolor.shots.detector import mark_cuts
from filmcolor.types.film import Part
from filmcolor.types.frames import ColorFrame
from filmcolor.video.decoder import read_luma
from filmcolor.video.frame_index import FrameIndex
from filmcolor.video.probe import probe
from filmcolor.video.proxy import add_proxies

NUM_FRAMES = 70


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lumas = [luma for seed, length in enumerate((40, 30)) for luma in shoot(length, seed=seed)]
    return media.make(tmp_path_factory.mktemp("cache") / "film.mkv", Film(lumas, codec="ffv1"))


def assert_equal(first: list[ColorFrame], second: list[ColorFrame]) -> None:
    assert [f.number for f in first] == [f.number for f in second]
    for one, other in zip(first, second, strict=True):
        for name in ("luma", "cb", "cr"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.slow
def test_frames_in_any_order_equal_those_of_the_whole(film: Path, options: ColorOptions) -> None:
    info, index = probe(film), FrameIndex.read(probe(film))
    colorizer = Colorizer(options)
    shape = next(iter(colorizer.ab_frames(info, Part(0, 1), index))).guide.shape
    reference = Reference(12, np.full((*shape, 2), 40.0, np.float32), np.ones(shape, np.float32))
    cached, cache = colorizer.with_cache(info, index)  # of all guidances, one after the other
    other = Reference(
        60, -reference.ab, np.tile(np.linspace(0, 1, shape[1], dtype=np.float32), (shape[0], 1))
    )
    for references in ((), (reference,), (reference, other), (other,)):
        guidance = Guidance(Palette(options.grade), references)
        whole = list(colorizer.frames(info, index=index, guidance=guidance))
        for first, stop in ((35, 36), (3, 5), (69, 70), (38, 43), (0, 70), (12, 13)):
            part = list(
                cached.frames(info, Part(first, stop), index=index, guidance=guidance, cache=cache)
            )
            assert_equal(part, whole[first:stop])


def test_a_small_cache_forgets_and_still_gives_every_frame(film: Path) -> None:
    info, index = probe(film), FrameIndex.read(probe(film))
    large, small = (
        FilmCache(info, index, 64, is_classified=True, max_bytes=size) for size in (1 << 30, 1)
    )
    for first, stop in ((0, NUM_FRAMES), (20, 50), (5, 6), (60, 200)):
        expected = [f.source.number for f in large.proxies(first, stop)]
        assert expected == list(range(first, min(stop, NUM_FRAMES)))
        for one, other in zip(large.proxies(first, stop), small.proxies(first, stop), strict=True):
            assert one.source.number == other.source.number
            np.testing.assert_array_equal(one.luma, other.luma)
    assert [f.source.number for f in large.proxies(64, None)] == list(range(64, NUM_FRAMES))


def test_frames_are_decoded_once(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info, index = probe(film), FrameIndex.read(probe(film))
    cache = FilmCache(info, index, 64, is_classified=False)
    first = list(cache.proxies(0, NUM_FRAMES))

    def refuse(*_: object) -> None:
        raise AssertionError("a frame was decoded again")

    monkeypatch.setattr("filmcolor.pipeline.film_cache.read_luma", refuse)
    assert list(cache.proxies(0, NUM_FRAMES)) == first
    with pytest.raises(AssertionError, match="again"):
        list(FilmCache(info, index, 64, is_classified=False).proxies(0, 1))


def test_predictions_are_kept_by_picture() -> None:
    calls: list[int] = []

    def predict(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        calls.append(len(luma))
        return luma[..., None].astype(np.float32) * 2.0, luma[..., None].astype(np.float32) * 3.0

    pictures = np.stack([np.full((2, 2), n, np.uint8) for n in range(4)])
    cache = PredictionCache(1 << 20)
    cache.predict(pictures[:2], predict)
    ab, features = cache.predict(pictures[[1, 3, 0]], predict)
    assert calls == [2, 1]  # only the new one
    assert ab[:, 0, 0, 0].tolist() == [2.0, 6.0, 0.0]
    assert features[:, 0, 0, 0].tolist() == [3.0, 9.0, 0.0]
    tiny = PredictionCache(1)
    for _ in range(2):
        ab, _ = tiny.predict(pictures, predict)
        assert ab[:, 0, 0, 0].tolist() == [0.0, 2.0, 4.0, 6.0]


def test_a_cache_is_bounded_by_bytes() -> None:
    cache = ByteCache[int, str](10)
    for key in range(4):
        cache.put(key, "value", 4)
    assert [key in cache for key in range(4)] == [False, False, True, True]
    assert cache.get(2) == "value" and cache.get(0) is None
    cache.put(9, "other", 6)
    assert 2 in cache and 3 not in cache
    cache.put(5, "large", 100)  # one that is larger than the limit is kept alone
    assert 5 in cache and 9 not in cache
    cache.put(5, "small", 1)
    cache.put(6, "small", 9)
    assert 5 in cache and 6 in cache


def test_the_cuts_of_a_cache_are_those_of_the_film(film: Path) -> None:
    info, index = probe(film), FrameIndex.read(probe(film))
    cache = FilmCache(info, index, 64, is_classified=False)
    for first, stop in ((0, 70), (1, 41), (1, 40), (41, 70), (40, 41), (10, 300)):
        whole = add_proxies(read_luma(info), info, 64)
        cuts = [f.source.number for f in mark_cuts(whole) if f.is_cut]
        assert list(cache.cuts(first, stop)) == [n for n in cuts if first <= n < stop]
    frame = cache.frame(33)
    assert frame is not None and frame.source.number == 33 and cache.frame(70) is None
