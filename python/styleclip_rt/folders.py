"""Where the package keeps files. Needs no torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from styleclip_rt.bundle import Bundle


def cache_folder() -> Path:
    """Where bundles and exports lie: the variable STYLECLIP_RT_CACHE, or the user's cache."""
    chosen = os.environ.get("STYLECLIP_RT_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("styleclip-rt")


def exports_folder(bundle: "Bundle | str", chosen: str | Path | None = None) -> Path:
    """Where exported files of a bundle (itself, its name or folder) lie: `chosen`, or the bundle's
    folder in the cache."""
    if chosen is not None:
        return Path(chosen)
    name = Path(bundle).name if isinstance(bundle, str) else bundle.name
    return cache_folder() / "exports" / name
