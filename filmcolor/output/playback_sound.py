"""The sound of a short range of a film, as browsers play it: stereo, 48 kHz."""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filmcolor.output.audio_conversion import SampleReader
from filmcolor.output.audio_samples import convert_samples
from filmcolor.output.audio_target import AudioTarget
from filmcolor.types.film import FilmInfo, StreamInfo
from filmcolor.types.frames import FloatPlane
from filmcolor.video.demux import open_film, read_packets

RATE = 48_000  # samples per second
_LEAD_SECONDS = 1  # read before the range: what decoders need to begin
_REST_SECONDS = 1  # read after it: packets may come late
_MICROSECONDS = 1_000_000  # FFmpeg's clock for seeking


def read_sound(info: FilmInfo, start: Fraction, end: Fraction) -> FloatPlane | None:
    """Return the samples (2, N) between two times, -1 to 1; None for a film without sound.

    Times are seconds from the container's zero. It is silent where the film has no sound. Of
    several soundtracks it is the one that players choose.
    """
    stream = _choose(info)
    if stream is None:
        return None
    sound = None
    lead = start - _LEAD_SECONDS
    if lead > info.start_seconds:
        sound = _read(info, stream, start, end, lead)
    if sound is None:
        sound = _read(info, stream, start, end, None)
    return sound


def _choose(info: FilmInfo) -> StreamInfo | None:
    sounds = [stream for stream in info.streams if stream.type == "audio"]
    return next((s for s in sounds if "default" in s.disposition), next(iter(sounds), None))


def _read(
    info: FilmInfo, stream: StreamInfo, start: Fraction, end: Fraction, lead: Fraction | None
) -> FloatPlane | None:
    """Return the sound, read from the time `lead` on, or from the beginning where it is None.

    Returns None when reading began too late: not every format can be read from any time.
    """
    first, num_samples = round(start * RATE), round((end - start) * RATE)
    with open_film(info.path) as container:
        source: Any = container.streams[stream.index]
        context = source.codec_context
        if context is None:
            return None if lead is not None else np.zeros((2, num_samples), np.float32)
        is_mono = context.layout.nb_channels == 1  # a mix to stereo would be softer
        # integers, so that FFmpeg's mix of many channels stays within full scale
        target = AudioTarget("aac", "s32", RATE, "mono" if is_mono else "stereo")
        values = np.zeros((target.num_channels, num_samples), np.int32)
        if lead is not None:
            container.seek(int(lead * _MICROSECONDS), backward=True)
        reader = SampleReader(source, target)
        is_early = lead is None
        for packet in read_packets(container, source):
            time = None if packet.pts is None else packet.pts * Fraction(source.time_base)
            if not is_early and time is not None:
                if time > start:
                    return None
                is_early = True
            if time is not None and time > end + _REST_SECONDS:
                break
            for samples in reader.read(packet if packet.size else None):
                _put(values, samples.start - first, samples.values)
        else:
            for samples in reader.read(None):
                _put(values, samples.start - first, samples.values)
    sound: FloatPlane = convert_samples(values, "flt")
    return sound.repeat(2, axis=0) if is_mono else sound


def _put(values: NDArray[np.int32], position: int, samples: NDArray[np.int32]) -> None:
    """Put samples at a position, as far as they are in the range."""
    low, high = max(0, position), min(values.shape[1], position + samples.shape[1])
    if low < high:
        values[:, low:high] = samples[:, low - position : high - position]
