"""filmcolor: an old black-and-white film goes in, the same film comes out in colour."""

__version__ = "0.1.0"
