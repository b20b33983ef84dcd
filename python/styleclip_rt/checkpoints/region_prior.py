"""The region prior of a bundle as a file: its maps in safetensors, its phrases in the metadata."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from styleclip_rt.checkpoints import native
from styleclip_rt.errors import CheckpointError
from styleclip_rt.losses import RegionPrior

ARCHITECTURE = "region_prior"


def save(prior: RegionPrior, path: Path) -> None:
    """Write `prior` to `path`, atomically."""
    native.write({"maps": prior.maps.half()}, path, ARCHITECTURE, {"phrases": prior.phrases})


def load(path: Path) -> RegionPrior:
    """Read what `save` wrote.

    Raises:
        CheckpointError: the file is broken or of another kind.
    """
    metadata = native.read_metadata(path)
    if metadata.get("architecture") != ARCHITECTURE:
        raise CheckpointError(f"{path} holds no region prior; install the package again.")
    try:
        maps = load_file(path)["maps"].float()
        phrases = json.loads(metadata["config"])["phrases"]
        if maps.dim() != 3 or len(phrases) != len(maps):
            raise ValueError("maps and phrases differ in number")
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); install the package again.") from error
    return RegionPrior(phrases, maps)
