"""Bundles: one generator, one CLIP and one identity network under a name that a user knows."""

from styleclip_rt.bundle.manifest import BundleFile, Manifest, read_manifest
from styleclip_rt.bundle.networks import Bundle
from styleclip_rt.bundle.store import (
    DEFAULT,
    Listing,
    create,
    list_bundles,
    load_bundle,
    looks_faceless,
    pull,
)

__all__ = [
    "DEFAULT",
    "Bundle",
    "BundleFile",
    "Listing",
    "Manifest",
    "create",
    "list_bundles",
    "load_bundle",
    "looks_faceless",
    "pull",
    "read_manifest",
]
