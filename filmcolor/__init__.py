"""filmcolor: an old black-and-white film goes in, the same film comes out in colour.

    from filmcolor import colorize, preview, probe

Public names load on first use, so `import filmcolor` is fast. They are listed once, in
`__init__.pyi`.
"""

import lazy_loader

from filmcolor.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
