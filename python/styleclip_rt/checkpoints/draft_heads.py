"""The draft heads of a MobileStyleGAN as a file of their own, since this package ships them without
the generator's weights."""

import json
from dataclasses import replace
from pathlib import Path

from styleclip_rt.checkpoints import native
from styleclip_rt.checkpoints.state import fill, read_safetensors
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN

ARCHITECTURE = "mobile_stylegan_drafts"
_PREFIX = "draft_heads."


def save(generator: MobileStyleGAN, path: Path) -> None:
    """Write the draft heads of `generator` to `path`, atomically."""
    state = {k: v for k, v in generator.state_dict().items() if k.startswith(_PREFIX)}
    resolutions = generator.config.draft_resolutions
    native.write(state, path, ARCHITECTURE, {"draft_resolutions": resolutions})


def attach(generator: MobileStyleGAN, path: Path) -> MobileStyleGAN:
    """The same generator with the draft heads of `path`.

    Raises:
        CheckpointError: the file is broken, is of another kind, or fits another generator.
    """
    metadata = native.read_metadata(path)
    if metadata.get("architecture") != ARCHITECTURE:
        raise CheckpointError(f"{path} does not hold draft heads; install the package again.")
    heads = read_safetensors(path)
    try:
        sizes = json.loads(metadata["config"])["draft_resolutions"]
        resolutions = tuple(size for size in sizes if type(size) is int)
        if len(resolutions) != len(sizes):
            raise ValueError("its resolutions are no whole numbers")
        config = replace(generator.config, draft_resolutions=resolutions)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); install the package again.") from error
    body = {k: v for k, v in generator.state_dict().items() if not k.startswith(_PREFIX)}
    return fill(lambda: MobileStyleGAN(config), {**body, **heads}, path)
