"""References are located in the same shots for the whole film and its parts."""

import media
import numpy as np
import pytest
from media import Film, shoot

from filmcolor.errors import InputError
from filmcolor.guidance.reference_shots import MAX_NEIGHBORS, place_references
from filmcolor.guidance.references import Reference
from filmcolor.video.probe import probe

SHOTS = (25, 30, 300, 20)  # frames: the third is read backwards in several steps
CUTS = (0, 25, 55, 355, 375)


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    shots = [shoot(num, (64, 48), step=0.5, seed=n, grain=0.0) for n, num in enumerate(SHOTS)]
    lumas = [luma for shot in shots for luma in shot]
    return probe(
        media.make(tmp_path_factory.mktemp("sites") / "film.mkv", Film(lumas, codec="ffv1"))
    )


@pytest.fixture(scope="module")
def find(info):
    def found(numbers, start=0, stop=None):
        planes = np.zeros((16, 21, 2), np.float32), np.ones((16, 21), np.float32)
        references = [Reference(number, *planes) for number in numbers]
        return place_references(info, references, 32, start, stop)

    return found


def test_each_reference_has_its_shot(find):
    sites = find([330, 3, 30, 54, 60, 374])
    assert [s.reference.number for s in sites] == [3, 30, 54, 60, 330, 374]
    shots = [(s.first, s.stop) for s in sites]
    assert shots == [(0, None), (25, None), (25, None), (55, None), (55, None), (355, None)]


def shot_of(number):
    return sum(cut <= number for cut in CUTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 10), (20, 40), (60, 80), (340, 350), (120, 130), (350, None), (370, 375)],
)
def test_a_part_has_the_shots_of_the_whole(find, start, stop):
    numbers = [3, 54, 60, 330, 374]
    whole = {s.reference.number: s for s in find(numbers)}
    for found in find(numbers, start, stop):
        given = found.reference.number
        for number in range(start, CUTS[-1] if stop is None else stop):
            # cuts after both the start and the reference are seen while reading
            if number < given or not any(max(start - 1, given) < cut <= number for cut in CUTS):
                assert found.holds(number) == (shot_of(number) == shot_of(given))
        np.testing.assert_array_equal(found.guide, whole[given].guide)
        np.testing.assert_array_equal(found.luma, whole[given].luma)


def test_only_the_nearest_serve_a_part(find):
    sites = find([*range(0, 40, 2), 100, *range(200, 220)], 90, 110)
    numbers = [s.reference.number for s in sites]
    assert numbers == [*range(40 - 2 * MAX_NEIGHBORS, 40, 2), 100, *range(200, 200 + MAX_NEIGHBORS)]


def test_a_frame_that_is_not_there_is_named(find):
    with pytest.raises(InputError, match="frame 375 has a reference but cannot be decoded"):
        find([3, 375])
