"""All that can be exported of a bundle, by name."""

from collections.abc import Callable
from pathlib import Path

from styleclip_rt.bundle import Bundle
from styleclip_rt.bundle.mappers import find, load_for
from styleclip_rt.errors import StyleClipError
from styleclip_rt.export.edit import EDIT_NETWORKS
from styleclip_rt.export.inversion import INVERSION_NETWORKS
from styleclip_rt.export.mappers import MAPPER_NETWORKS, mapper_networks
from styleclip_rt.export.networks import NETWORKS, Network
from styleclip_rt.export.photos import PHOTO_NETWORKS

TABLE: dict[str, Callable[[Bundle], Network]] = NETWORKS | EDIT_NETWORKS
"""Name -> what builds it from a bundle."""


def networks(bundle: Bundle, mapper: str = "") -> list[str]:
    """Names of all networks of a bundle, or of one mapper for it (see `build`)."""
    if not mapper:
        lacking = set() if bundle.draft_resolution else {"draft"}
        if bundle.identity is None:
            lacking |= {"identity", *EDIT_NETWORKS}
        return [name for name in TABLE if name not in lacking]
    return mapper_networks(load_for(bundle, find(mapper), mapper))


def build(bundle: Bundle, name: str, mapper: str = "") -> Network:
    """The network `name` of a bundle or of photographs, ready to be exported; for those of
    MAPPER_NETWORKS, of `mapper`: the name of one that ships, or a file.

    Raises:
        StyleClipError: there is none of that name, or no such mapper for this bundle.
    """
    if name in TABLE:
        return TABLE[name](bundle)
    if name in INVERSION_NETWORKS:
        return INVERSION_NETWORKS[name](bundle)
    if name in PHOTO_NETWORKS:
        return PHOTO_NETWORKS[name]()
    if name not in MAPPER_NETWORKS:
        known = ", ".join((*TABLE, *INVERSION_NETWORKS, *PHOTO_NETWORKS, *MAPPER_NETWORKS))
        raise StyleClipError(f"unknown network {name!r}: choose from {known}.")
    if not mapper:
        raise StyleClipError(f"{name} is a network of a mapper: say of which with --mapper.")
    network = load_for(bundle, find(mapper), mapper)
    return MAPPER_NETWORKS[name](bundle, network, Path(mapper).stem)
