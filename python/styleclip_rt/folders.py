"""Where the package keeps files. Needs no torch."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Where bundles and exports lie: the variable STYLECLIP_RT_CACHE, or the user's cache."""
    chosen = os.environ.get("STYLECLIP_RT_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("styleclip-rt")


def exports_folder(bundle: str) -> Path:
    """Where exported files of a bundle lie unless the user says otherwise."""
    return cache_folder() / "exports" / bundle
