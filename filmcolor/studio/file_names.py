"""Names of files that come from elsewhere, made safe."""

import re
import unicodedata

_MAX_BYTES = 180  # of the 255 that a file's name may have: outputs have longer names
_MAX_SUFFIX = 10  # characters
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])")  # by Windows
_FORBIDDEN = re.compile(r'[<>:"|?*]')  # by Windows


def safe_name(name: str, default: str = "film") -> str:
    """Return a file's name without what could lead elsewhere or what some system refuses.

    The part after the last slash, without control characters, leading dots, the characters and
    names that Windows reserves; the suffix stays. `default`: where nothing is left.
    """
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    name = "".join(c for c in name if c.isprintable())
    name = _FORBIDDEN.sub("_", name).strip(" ").lstrip(". ").rstrip(". ")
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > _MAX_SUFFIX:
        stem, dot, suffix = name, "", ""
    stem = _cut(stem, _MAX_BYTES - len(f"{dot}{suffix}".encode())).rstrip(". ") or default
    if _RESERVED.fullmatch(stem.partition(".")[0].strip()):
        stem = f"_{stem}"
    return f"{stem}{dot}{suffix}"


def _cut(text: str, num_bytes: int) -> str:
    """Return the beginning of a text, at most some bytes in UTF-8."""
    return text.encode()[:num_bytes].decode("utf-8", "ignore")
