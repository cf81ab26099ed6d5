"""The compiled loops of `filmcolor.native`; all else about the package is in setup.cfg.

Where they cannot be compiled they are left out, and NumPy and OpenCV do their work, slower.
"""

import platform
import sys

from setuptools import Extension, setup

FOLDER = "filmcolor/kernels"
flags = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
flags.append("-fno-strict-aliasing")  # rows to work in hold whole numbers and fractions alike
if platform.machine() in ("x86_64", "AMD64"):
    flags.append("-mtune=haswell")  # else GCC looks things up one by one
kernels = Extension(
    "filmcolor.kernels._compiled",
    [f"{FOLDER}/{name}.c" for name in ("module", "chroma", "motion", "pool")],
    depends=[f"{FOLDER}/kernels.h"],
    extra_compile_args=flags,
    optional=True,
)
# they are written for GCC and Clang
setup(ext_modules=[] if sys.platform == "win32" else [kernels])
