"""Writes image sequences of known grey values, with PyAV's encoders."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (64, 48)  # (width, height)


@dataclass(frozen=True)
class Kind:
    """A kind of image file."""

    suffix: str
    codec: str
    pix_fmt: str
    depth: int  # of the code values
    options: dict[str, str] = field(default_factory=dict)


KINDS = {
    "DPX 8": Kind(".dpx", "dpx", "rgb24", 8),
    "DPX 10": Kind(".dpx", "dpx", "gbrp10le", 10),
    "DPX 12": Kind(".dpx", "dpx", "gbrp12le", 12),
    "DPX 16": Kind(".dpx", "dpx", "rgb48le", 16),
    "DPX 16 grey": Kind(".dpx", "dpx", "gray16be", 16),
    "TIFF 8": Kind(".tif", "tiff", "gray", 8),
    "TIFF 16": Kind(".tiff", "tiff", "gray16le", 16),
    "TIFF 16 RGB": Kind(".tif", "tiff", "rgb48le", 16),
    "PNG 8": Kind(".png", "png", "gray", 8),
    "PNG 16": Kind(".png", "png", "gray16be", 16),
    "PNG 16 RGB": Kind(".PNG", "png", "rgb48be", 16),
    "BMP": Kind(".bmp", "bmp", "bgr24", 8),
    "JPEG 2000": Kind(".jp2", "jpeg2000", "gray16le", 16, {"pred": "1"}),
    "JPEG-LS": Kind(".jls", "jpegls", "gray", 8),
    "TGA": Kind(".tga", "targa", "gray", 8),
    "PAM": Kind(".pam", "pam", "gray16be", 16),
    "PGM": Kind(".pgm", "pgm", "gray16be", 16),
    "SGI": Kind(".sgi", "sgi", "gray16be", 16),
}


DPX_HEADERS = 2048  # bytes: generic, film and television headers, SMPTE ST 268-1


def grey(number: int, depth: int) -> np.ndarray:
    """Return the luma (H, W) of an image: every code value comes up in some image."""
    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    codes = (x * 37 + y * 1291 + number * 977) % (1 << depth)
    return codes.astype(np.uint8 if depth == 8 else np.uint16)


def encode(codec: str, pix_fmt: str, planes: Iterable[np.ndarray], **options: str) -> bytes:
    """Return an image file of planes (rows, bytes of a row or samples)."""
    planes = list(planes)
    pixels = av.VideoFormat(pix_fmt)
    height, width = planes[0].shape[:2]
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        order = ">" if pixels.is_big_endian else "<"
        values = values.astype(values.dtype.newbyteorder(order))
        data = np.ascontiguousarray(values).view(np.uint8).reshape(values.shape[0], -1)
        rows[: data.shape[0], : data.shape[1]] = data
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = width, height, pix_fmt
    context.time_base, context.options = Fraction(1, 24), options
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def with_all_headers(data: bytes) -> bytes:
    """Return a DPX with the film and television headers, undefined, that FFmpeg leaves out."""
    order = ">" if data[:4] == b"SDPX" else "<"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    header = bytearray(data[:start].ljust(DPX_HEADERS, b"\xff"))
    for offset in (4, 808):  # of the pixels, in the file's header and in the first element's
        struct.pack_into(f"{order}I", header, offset, DPX_HEADERS)
    return bytes(header) + data[start:]


def image(kind: Kind, luma: np.ndarray) -> bytes:
    """Return an image file whose pixels are grey."""
    pixels = av.VideoFormat(kind.pix_fmt)
    if pixels.is_planar:
        planes = [luma] * 3
    else:
        planes = [np.repeat(luma[..., None], 3, axis=2) if pixels.is_rgb else luma]
    data = encode(kind.codec, kind.pix_fmt, planes, **kind.options)
    return with_all_headers(data) if kind.codec == "dpx" else data


def write_images(
    folder: Path,
    kind: str = "DPX 10",
    numbers: Iterable[int] = range(1, 7),
    name: str = "reel_%06d",
) -> Path:
    """Write images named by their numbers into a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    what = KINDS[kind]
    for number in numbers:
        path = folder / (name % number + what.suffix)
        path.write_bytes(image(what, grey(number, what.depth)))
    return folder


def jpeg(number: int) -> bytes:
    """Return a JPEG of a soft picture."""
    y, x = np.mgrid[:96, :128]
    luma = (x + y + number).astype(np.uint8)
    chroma = np.full((48, 64), 128, np.uint8)
    return encode("mjpeg", "yuvj420p", [luma, chroma, chroma])


def exr(
    values: np.ndarray, pix_fmt: str = "grayf32le", writer: bytes = b"acme", **options: str
) -> bytes:
    """Return an OpenEXR file of float32 (H, W); `writer`: the program in its header."""
    num_planes = 1 if pix_fmt.startswith("gray") else 3
    planes = [values.astype(np.float32)] * num_planes
    return encode("exr", pix_fmt, planes, **options).replace(b"lavc", writer, 1)
