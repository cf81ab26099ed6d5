"""One frame of a film that shows it, read at once: without the film's index."""

from fractions import Fraction
from typing import Any

import numpy as np

from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import Plane
from filmcolor.video.demux import decode_packet, open_film, read_packets
from filmcolor.video.pixel_formats import extract_luma

_SHARE = Fraction(1, 20)  # of the film before the frame: titles and leaders come first
_MAX_PACKETS = 400  # of pictures that are tried


def read_poster(info: FilmInfo) -> Plane | None:
    """Return the luma (H, W), code values, of a frame near the film's beginning.

    None where none of the first pictures there can be decoded. Raises InputError when the film
    cannot be opened.
    """
    with open_film(info.path) as container:
        stream: Any = container.streams[info.video_index]
        if info.duration_seconds:
            seconds = info.duration_seconds * _SHARE
            try:
                start = stream.start_time or 0
                container.seek(start + int(seconds / info.time_base), stream=stream)
            except OSError:  # streams that cannot be searched are read from their beginning
                pass
        for number, packet in enumerate(read_packets(container, stream)):
            for frame in decode_packet(stream, packet) or ():
                return np.array(extract_luma(frame, info.coding, info.is_linear))
            if number >= _MAX_PACKETS:
                break
    return None
