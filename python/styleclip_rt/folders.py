"""Where the package keeps files, and what they may be called. Needs no torch."""

import os
import re
from pathlib import Path
from typing import Protocol

import platformdirs

from styleclip_rt.errors import StyleClipError


class Named(Protocol):
    """A bundle, as far as its folders go."""

    @property
    def name(self) -> str: ...


def cache_folder() -> Path:
    """Where bundles and exports lie: the variable STYLECLIP_RT_CACHE, or the user's cache."""
    chosen = os.environ.get("STYLECLIP_RT_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("styleclip-rt")


def bundles_folder() -> Path:
    """Where bundles lie, each in a folder of its name."""
    return cache_folder() / "bundles"


def exports_folder(bundle: Named | str, chosen: str | Path | None = None) -> Path:
    """Where exported files of a bundle (itself, its name or folder) lie: `chosen`, or the bundle's
    folder in the cache.

    Raises:
        StyleClipError: its name is none that a bundle has.
    """
    if chosen is not None:
        return Path(chosen)
    name = os.path.basename(os.path.abspath(bundle)) if isinstance(bundle, str) else bundle.name
    if not is_name(name):
        raise StyleClipError(
            f"{name!r} is no name of a bundle: say where its exports lie with --exports or --out."
        )
    return cache_folder() / "exports" / name


def is_name(text: object) -> bool:
    """Whether a bundle or a network can be called so: letters, digits, ".", "_" and "-", at most
    64. Such a name is a folder of its own wherever it is put."""
    return (
        isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) is not None
    )


def is_file_name(text: object) -> bool:
    """Whether a text, in any script, is the name of one file and leads nowhere else."""
    return (
        isinstance(text, str)
        and text.isprintable()
        and text not in ("", ".", "..")
        and not set(text) & set("/\\:")
        and len(text.encode(errors="replace")) <= 200
    )
