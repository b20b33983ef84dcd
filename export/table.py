"""All that can be exported of a bundle, by name."""

from collections.abc import Callable

from styleclip_rt.export.edit import EDIT_NETWORKS
from styleclip_rt.export.networks import NETWORKS, Network

from styleclip_rt.bundle import Bundle
from styleclip_rt.errors import StyleClipError

TABLE: dict[str, Callable[[Bundle], Network]] = NETWORKS | EDIT_NETWORKS
"""Name -> what builds it from a bundle."""


def build(bundle: Bundle, name: str) -> Network:
    """The network `name` of a bundle, ready to be exported.

    Raises:
        StyleClipError: there is none of that name.
    """
    if name not in TABLE:
        raise StyleClipError(f"unknown network {name!r}: choose from {', '.join(TABLE)}.")
    return TABLE[name](bundle)
