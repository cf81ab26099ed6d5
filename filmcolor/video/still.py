"""Reads stills that FFmpeg decodes and picture libraries do not: DPX, OpenEXR, JPEG XL."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filmcolor.errors import InputError
from filmcolor.video.demux import decode_packet, open_film, read_packets
from filmcolor.video.image_header import is_complete
from filmcolor.video.pixel_formats import extract_deep_rgb, extract_rgb
from filmcolor.video.probe import probe

STILL_SUFFIXES = frozenset({".dpx", ".exr", ".hdr", ".jls", ".jxl", ".pam", ".pfm", ".phm"})


def read_still(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return R'G'B' (H, W, 3) of a picture file, uint16 if it has more than 8 bits.

    Linear light in floating point gets the curve of sRGB. Raises InputError for films, and for
    files that cannot be decoded.
    """
    info = probe(path)
    if not info.is_still:
        raise InputError(f"{path} is a film, not a picture; `filmcolor run` colours films")
    if not is_complete(path.read_bytes()):
        raise InputError(f"{path} was cut off; is the file complete?")
    with open_film(path) as container:
        stream = container.streams[info.video_index]
        for packet in read_packets(container, stream):
            for frame in decode_packet(stream, packet) or ():
                if info.coding.bit_depth == 8:
                    return extract_rgb(frame, info.coding, info.is_linear)
                return extract_deep_rgb(frame, info.coding, info.is_linear)
    raise InputError(f"{path} cannot be decoded; is the file complete?")
