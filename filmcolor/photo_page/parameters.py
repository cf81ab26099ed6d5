"""The numbers of the colour maths that the page's JavaScript needs: parameters.json."""

from typing import Any

import numpy as np

from filmcolor.color import dither, gamut, spaces, upsampling
from filmcolor.guidance.grading import RANGES, Grade, warm_shift
from filmcolor.kernels.ops import TILE
from filmcolor.network import surfaces
from filmcolor.network.model import FilmNet
from filmcolor.types.yuv import Coding
from filmcolor.video.proxy import DEFAULT_SIZE, STRIDE

_CODING = Coding(matrix=1, is_full_range=True, bit_depth=8)  # H.273: sRGB has BT.709's primaries


def page_parameters(net: FilmNet) -> dict[str, Any]:
    """Return every number of the page's colour maths, ready for JSON.

    `net` gives the ab of the bins. `size` is the short side of the picture that the network sees;
    `saturation` and `warmth` hold the range and the default of each slider.
    """
    return {
        **_sliders(),
        "size": DEFAULT_SIZE,
        "stride": STRIDE,
        "warm_shift": warm_shift().tolist(),
        "luma_weights": list(spaces.LUMA_709),
        "centers": net.centers.tolist(),
        "surfaces": _surfaces(),
        "gamut": _gamut(),
        "upsampling": {
            **upsampling.PARAMS._asdict(),
            "averaged": upsampling.AVERAGED,
            "max_averaged": upsampling.MAX_AVERAGED,
        },
        "dither": {
            "tile": TILE,
            "amplitude": dither.AMPLITUDE,
            "ranks": dither.ranks().ravel().tolist(),
        },
    }


def _sliders() -> dict[str, Any]:
    usual = Grade()
    ranges = ((name, *RANGES[name]) for name in ("saturation", "warmth"))
    return {
        name: {"least": least, "most": most, "usual": getattr(usual, name)}
        for name, least, most in ranges
    }


def _surfaces() -> dict[str, Any]:
    return {
        "strength": surfaces.SURFACES,
        "scales": list(surfaces.SCALES),
        "resolution": surfaces.RESOLUTION,
        "min_size": surfaces.MIN_SIZE,
        "short_side": surfaces.SHORT_SIDE,
        "least_size": surfaces.LEAST_SIZE,
        "tolerance": surfaces.TOLERANCE,
        "max_gain": surfaces.MAX_GAIN,
    }


def _gamut() -> dict[str, Any]:
    """Return the constants of `color.gamut`; `greys` holds its values by luma code, 0 to 255."""
    lightness, slopes = gamut.greys(np.arange(256) / 255.0)
    return {
        "table_step": gamut.TABLE_STEP,
        "table_steps": gamut.TABLE_STEPS,
        "chroma_unit": gamut.CHROMA_UNIT,
        "tolerance": gamut.GAMUT_TOLERANCE,
        "kr_kb": list(_CODING.kr_kb),
        "chroma_offset": _CODING.chroma_offset,
        "greys": {"lightness": lightness.tolist(), "slopes": slopes.tolist()},
        "white_xyz_to_rgb": gamut.WHITE_XYZ_TO_RGB.tolist(),
        "kappa": spaces.KAPPA,
        "lab_join": spaces.LAB_JOIN,
        "srgb": {
            "join": spaces.SRGB_JOIN,
            "slope": spaces.SRGB_SLOPE,
            "shift": spaces.SRGB_SHIFT,
            "gamma": spaces.SRGB_GAMMA,
        },
    }
