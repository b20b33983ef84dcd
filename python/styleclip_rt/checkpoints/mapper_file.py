"""Mappers in this package's format, which also says for whose latents they are."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from styleclip_rt.checkpoints import _kind, load_mapper, native
from styleclip_rt.errors import CheckpointError
from styleclip_rt.folders import is_name
from styleclip_rt.models.looks import StyleDirections
from styleclip_rt.models.mapper import LevelsMapper, PromptMapper, StyleSpaceMapper

Mapper = LevelsMapper | StyleSpaceMapper | PromptMapper | StyleDirections
MAX_PROMPT = 1000
"""Characters."""


@dataclass(frozen=True)
class Origin:
    """For which generator a mapper was trained.

    Attributes:
        bundle: its name; "" where the file does not say, as StyleCLIP's do not.
        generator: its `fingerprint`; likewise.
    """

    bundle: str = ""
    generator: str = ""


def save(mapper: Mapper, path: Path, origin: Origin) -> None:
    """Write `mapper` to `path`, atomically.

    Raises CheckpointError if the file cannot be written.
    """
    architecture = native.architecture_of(mapper)
    config = dataclasses.asdict(mapper.config)
    native.write(mapper.state_dict(), path, architecture, config, dataclasses.asdict(origin))


def load(path: str | os.PathLike[str]) -> tuple[Mapper, Origin]:
    """The mapper in `path`, ours or StyleCLIP's.

    Raises CheckpointError if the file is missing, broken or holds something else.
    """
    mapper = load_mapper(path)
    assert isinstance(mapper, Mapper)
    if _kind(Path(path)) != "native":
        return mapper, Origin()
    metadata = native.read_metadata(Path(path))
    origin = Origin(metadata.get("bundle", ""), metadata.get("generator", ""))
    _check_names(mapper, origin, path)
    return mapper, origin


def _check_names(mapper: Mapper, origin: Origin, path: str | os.PathLike[str]) -> None:
    """Be sure that what becomes names of folders, and is printed, is of that kind."""
    for prompt in mapper.prompts:
        if not isinstance(prompt, str) or not prompt.isprintable() or len(prompt) > MAX_PROMPT:
            raise CheckpointError(f"{path} has a prompt that is no line of text; train it again.")
    if origin.bundle and not is_name(origin.bundle):
        raise CheckpointError(f"{path} is for a bundle of no possible name; train it again.")
