"""The version of filmcolor, its only home: `setup.cfg`, reports and journals read it here."""

__version__ = "0.1.0"
