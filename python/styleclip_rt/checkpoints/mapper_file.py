"""Mappers in this package's format, which also says for whose latents they are."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from styleclip_rt.checkpoints import _kind, load_mapper, native
from styleclip_rt.models.mapper import LevelsMapper, PromptMapper, StyleSpaceMapper

Mapper = LevelsMapper | StyleSpaceMapper | PromptMapper


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
    return mapper, Origin(metadata.get("bundle", ""), metadata.get("generator", ""))
