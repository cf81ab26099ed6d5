"""Finished frames as JPEGs: upright, with square pixels."""

import cv2
import numpy as np

from filmcolor.color.chroma import rgb_picture
from filmcolor.previews.neutral import remove_color
from filmcolor.types.film import FilmInfo
from filmcolor.types.frames import ColorFrame, Picture
from filmcolor.types.yuv import Coding

GREY, COLOR = "grey", "color"
SIDES = GREY, COLOR
_QUALITY = 93  # of JPEGs, without subsampling of their chroma: 480p takes about 100 KB
_THUMBNAIL_QUALITY = 85
_THUMBNAIL_HEIGHT = 160  # pixels, and at most 2.4 times that in width
_THUMBNAIL_WIDTH = 384


def shown_size(info: FilmInfo) -> tuple[int, int]:
    """Return (width, height) of a film's frames as shown: upright, with square pixels."""
    width, height = (max(1, round(side)) for side in info.display_size)
    return (height, width) if info.quarter_turns % 2 else (width, height)


def shown_picture(frame: ColorFrame, info: FilmInfo, side: str) -> Picture:
    """Return R'G'B' (H, W, 3) of a finished frame as shown, in colour or in grey."""
    if side == GREY:
        frame = remove_color(frame, info.coding)
    picture = np.rint(rgb_picture(frame, info.coding) * 255.0).astype(np.uint8)
    return show(picture, info)


def show(picture: Picture, info: FilmInfo) -> Picture:
    """Return a picture (H, W) or (H, W, 3) as coded in the orientation and shape of the screen."""
    upright = np.ascontiguousarray(info.orientation.upright(picture))
    size = shown_size(info)
    if upright.shape[1::-1] != size:
        upright = cv2.resize(upright, size, interpolation=cv2.INTER_AREA)
    return upright


def luma_picture(luma: np.ndarray, coding: Coding) -> Picture:
    """Return luma code values (H, W) as 8-bit grey from black to white."""
    scale = 255.0 / coding.luma_scale
    grey: Picture = cv2.convertScaleAbs(
        np.maximum(luma.astype(np.float32) - coding.luma_offset, 0.0), alpha=scale
    )
    return grey


def jpeg(picture: Picture) -> bytes:
    """Return a picture, (H, W, 3) R'G'B' or (H, W) grey, as a JPEG of high quality."""
    return _encode(picture, _QUALITY)


def thumbnail_jpeg(picture: Picture) -> bytes:
    """Return a picture as a small JPEG, at most 160 pixels high."""
    height, width = picture.shape[:2]
    scale = min(1.0, _THUMBNAIL_HEIGHT / height, _THUMBNAIL_WIDTH / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return _encode(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), _THUMBNAIL_QUALITY)


def _encode(picture: Picture, quality: int) -> bytes:
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    settings = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    is_encoded, data = cv2.imencode(".jpg", picture, settings)
    if not is_encoded:
        raise RuntimeError(f"OpenCV cannot write a JPEG of {picture.shape}")
    return data.tobytes()
