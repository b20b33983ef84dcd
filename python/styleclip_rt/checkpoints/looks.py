"""What a bundle knows of looks: tensors in safetensors, the phrases of the looks in the metadata.

A region prior says where in a face each look lies, look directions which way in latent space.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from styleclip_rt.checkpoints import native
from styleclip_rt.checkpoints.state import floats, read_safetensors
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.looks import LookDirections, RegionPrior

REGION_PRIOR = "region_prior"
LOOK_DIRECTIONS = "look_directions"


def save(looks: RegionPrior | LookDirections, path: Path) -> None:
    """Write them to `path`, atomically, in half precision."""
    kind = REGION_PRIOR if isinstance(looks, RegionPrior) else LOOK_DIRECTIONS
    state = {name: value.half() for name, value in looks.state_dict().items()}
    native.write(state, path, kind, {"phrases": looks.phrases})


def load_region_prior(path: Path) -> RegionPrior:
    """Read what `save` wrote; raises CheckpointError for a broken file or one of another kind."""
    phrases, (maps,) = _load(path, REGION_PRIOR, {"maps": 3})
    return RegionPrior(phrases, maps)


def load_directions(path: Path) -> LookDirections:
    """Read what `save` wrote; raises CheckpointError for a broken file or one of another kind."""
    dims = {"readers": 2, "bias": 1, "moves": 2}
    phrases, (readers, bias, moves) = _load(path, LOOK_DIRECTIONS, dims)
    return LookDirections(phrases, readers, bias, moves)


def _load(path: Path, kind: str, dims: dict[str, int]) -> tuple[Sequence[str], list[Tensor]]:
    """The phrases, and the tensors of the given names and numbers of dimensions, float32."""
    metadata = native.read_metadata(path)
    if metadata.get("architecture") != kind:
        what = kind.replace("_", " ")
        raise CheckpointError(f"{path} holds no {what}; install the package again.")
    state = read_safetensors(path)
    try:
        phrases = json.loads(metadata["config"])["phrases"]
        if not isinstance(phrases, list) or not all(isinstance(each, str) for each in phrases):
            raise ValueError("its phrases are no texts")
        tensors = [floats(state[name], name, path) for name in dims]
        for tensor, dim in zip(tensors, dims.values(), strict=True):
            if tensor.dim() != dim or 0 in tensor.shape or len(tensor) != len(phrases):
                raise ValueError("phrases and tensors differ in number")
        if len({tensor.shape[1] for tensor in tensors if tensor.dim() == 2}) > 1:
            raise ValueError("its directions are of different widths")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); install the package again.") from error
    # Their own memory, where those of the file are mapped from it.
    return phrases, [tensor.clone() for tensor in tensors]
