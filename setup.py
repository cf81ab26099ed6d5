"""The compiled kernels of `filmcolor.kernels`; everything else about the package is in setup.cfg.

The extension is optional: where it cannot be compiled, NumPy and OpenCV do its work, slower.
"""

import platform
import sys

from setuptools import Extension, setup

FOLDER = "filmcolor/kernels"
if sys.platform == "win32":  # MSVC
    flags = ["/O2"]
else:  # GCC, Clang
    flags = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
    flags.append("-fno-strict-aliasing")  # rows of scratch memory hold integers or floats
    if platform.machine() == "x86_64":
        flags.append("-mtune=haswell")  # by default GCC replaces table gathers with scalar loads
setup(
    ext_modules=[
        Extension(
            "filmcolor.kernels._compiled",
            [f"{FOLDER}/{name}.c" for name in ("module", "chroma", "motion", "pool", "surfaces")],
            depends=[f"{FOLDER}/kernels.h"],
            extra_compile_args=flags,
            optional=True,
        )
    ]
)
