"""Times of a film: timecodes, and seconds as int, float, str or Fraction."""

import copy
import pickle
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmcolor.errors import SettingsError
from filmcolor.timecodes import exact_seconds, format_timecode, parse_timecode
from filmcolor.types.film import WHOLE, TimeRange


@pytest.mark.parametrize(
    ("given_seconds", "expected"),
    [
        (70, Fraction(70)),
        (0.1, Fraction(1, 10)),
        (7 / 24, Fraction(7, 24)),
        (5 * 1001 / 30000, Fraction(1001, 6000)),
        (Fraction(1, 3), Fraction(1, 3)),
        ("70.5", Fraction(141, 2)),
        ("1:10.5", Fraction(141, 2)),
        ("00:01:10.5", Fraction(141, 2)),
    ],
)
def test_seconds_have_several_types(given_seconds: float | str, expected: Fraction) -> None:
    assert exact_seconds(given_seconds) == expected
    time_range = TimeRange(given_seconds, given_seconds)
    assert time_range.start_seconds == time_range.end_seconds == expected
    assert isinstance(time_range.start_seconds, Fraction)


@given(st.integers(0, 10**6), st.sampled_from([Fraction(24), Fraction(25), Fraction(30000, 1001)]))
def test_the_seconds_of_a_frame_survive_as_float(number: int, frame_rate: Fraction) -> None:
    seconds = number / frame_rate
    assert exact_seconds(float(seconds)) == seconds


@given(st.integers(0, 10**9))
def test_a_timecode_is_read_as_it_was_written(milliseconds: int) -> None:
    assert parse_timecode(format_timecode(milliseconds / 1000)) == Fraction(milliseconds, 1000)


@pytest.mark.parametrize(
    "wrong", ["soon", "", "1:2:3:4", "0:75", "-1", "1/0", float("nan"), float("inf"), 1j, b"1", []]
)
def test_other_values_are_an_error_that_names_the_remedy(wrong: object) -> None:
    with pytest.raises(SettingsError, match=r"is no time; (write|give seconds)"):
        TimeRange(start_seconds=wrong)
    with pytest.raises(SettingsError, match="is no time"):
        TimeRange(end_seconds=wrong)


def test_a_time_range_is_a_value() -> None:
    time_range = TimeRange("0.5", 2, first=None, stop=9)
    assert time_range == TimeRange(0.5, Fraction(2), stop=9)
    assert hash(time_range) == hash(TimeRange(0.5, 2, None, 9))
    assert pickle.loads(pickle.dumps(time_range)) == copy.copy(time_range) == time_range
    assert replace(time_range, end_seconds=None) == TimeRange(Fraction(1, 2), stop=9)
    assert TimeRange().is_whole and WHOLE.is_whole and not time_range.is_whole
    with pytest.raises(AttributeError):
        time_range.first = 3
