"""The look directions of a bundle as a file: vectors in safetensors, phrases in the metadata."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from styleclip_rt.checkpoints import native
from styleclip_rt.directions import LookDirections
from styleclip_rt.errors import CheckpointError

ARCHITECTURE = "look_directions"


def save(directions: LookDirections, path: Path) -> None:
    """Write `directions` to `path`, atomically."""
    state = {name: value.half() for name, value in directions.state_dict().items()}
    native.write(state, path, ARCHITECTURE, {"phrases": directions.phrases})


def load(path: Path) -> LookDirections:
    """Read what `save` wrote.

    Raises:
        CheckpointError: the file is broken or of another kind.
    """
    metadata = native.read_metadata(path)
    if metadata.get("architecture") != ARCHITECTURE:
        raise CheckpointError(f"{path} holds no look directions; install the package again.")
    try:
        state = {name: value.float() for name, value in load_file(path).items()}
        phrases = json.loads(metadata["config"])["phrases"]
        readers, bias, moves = (state[name] for name in ("readers", "bias", "moves"))
        if readers.shape != moves.shape or not len(phrases) == len(readers) == len(bias):
            raise ValueError("phrases and vectors differ in number")
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); install the package again.") from error
    return LookDirections(phrases, readers, bias, moves)
