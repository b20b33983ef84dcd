"""StyleCLIP's mapper checkpoints.

Format: ``torch.save`` of {"state_dict": ..., "opts": dict}, where the keys of the state dict start
with "mapper." or "decoder."; the decoder is the StyleGAN2 that the mapper was trained for, and
`checkpoints.rosinality` reads that one.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from styleclip_rt.checkpoints.layout import Computed, count, rename, shape_of, state_dict
from styleclip_rt.checkpoints.pickled import Record
from styleclip_rt.checkpoints.state import fill, read_torch_file
from styleclip_rt.errors import CheckpointError
from styleclip_rt.models.mapper import (
    DEPTH,
    LevelsMapper,
    LevelsMapperConfig,
    StyleSpaceMapper,
    StyleSpaceMapperConfig,
)

LEARNING_RATE_MULTIPLIER = 0.01
"""Of the mapper's layers, which upstream never stores."""

_GROUPS = {"coarse": "course_mapping", "middle": "medium_mapping", "fine": "fine_mapping"}
_COARSE, _MIDDLE = 4, 4
_ROWS = range(8, 19, 2)
"""Rows of w+ that a StyleGAN2 from 32 to 1024 px has."""


def read(path: str | os.PathLike[str]) -> LevelsMapper | StyleSpaceMapper:
    """The mapper in ``path``: LevelsMapper, SingleMapper or one of the mappers in StyleSpace.

    Raises CheckpointError if the file is broken or not exactly such a mapper.
    """
    path = Path(path)
    content = read_torch_file(path)
    if not isinstance(content, Mapping) or "state_dict" not in content:
        raise CheckpointError(f'{path} holds no "state_dict"; give a mapper that StyleCLIP saved.')
    whole = state_dict(content["state_dict"], path)
    strange = [key for key in whole if not key.startswith(("mapper.", "decoder."))]
    state = {k.removeprefix("mapper."): v for k, v in whole.items() if k.startswith("mapper.")}
    if strange or not state:
        what = f"the surplus tensor {strange[0]!r}" if strange else 'no tensors named "mapper.*"'
        raise CheckpointError(f"{path} has {what}; give a mapper that StyleCLIP saved.")
    if any(key.startswith("mapper_") for key in state):
        return _read_style_space(state, path)
    drawn = count(whole, "decoder.to_rgbs.")
    n_latent = _n_latent(content.get("opts"), 2 * drawn + 2 if drawn else None, path)
    return _read_levels(state, n_latent, path)


def _n_latent(options: object, decoder: int | None, path: Path) -> int:
    """The rows of w+ that the options say, or that the decoder in the same file has."""
    if isinstance(options, Record):  # an argparse.Namespace
        options = options.state
    size = options.get("stylegan_size") if isinstance(options, Mapping) else None
    if size is None and decoder is not None and decoder in _ROWS:
        return decoder
    if type(size) is not int or size not in [2**i for i in range(5, 11)]:
        raise CheckpointError(
            f'{path} does not say in "opts" for which size of StyleGAN2 it was trained; '
            "give the file as StyleCLIP saved it."
        )
    said = 2 * int(math.log2(size)) - 2
    if decoder is not None and decoder != said:
        raise CheckpointError(
            f"{path} says that it is for a StyleGAN2 of {size} px, but has the decoder of another; "
            "give the file as StyleCLIP saved it."
        )
    return said


def _read_levels(state: Mapping[str, Tensor], n_latent: int, path: Path) -> LevelsMapper:
    if any(key.startswith("mapping.") for key in state):
        # SingleMapper: one network over all rows, which is one group.
        nets, sizes = {"coarse": "mapping"}, (n_latent, 0, 0)
    else:
        nets = {
            group: theirs
            for group, theirs in _GROUPS.items()
            if any(key.startswith(f"{theirs}.") for key in state)
        }
        sizes = (_COARSE, _MIDDLE, n_latent - _COARSE - _MIDDLE)
    if not nets:
        raise CheckpointError(f"{path} has a mapper of an unknown kind; give one of StyleCLIP's.")
    first = next(iter(nets.values()))
    dim = shape_of(state, f"{first}.mapping.1.weight", 2, path)[0]
    config = LevelsMapperConfig(group_sizes=sizes, groups=tuple(nets), latent_dim=dim)
    return fill(lambda: LevelsMapper(config), _renamed(state, nets, path), path)


def _read_style_space(state: Mapping[str, Tensor], path: Path) -> StyleSpaceMapper:
    numbers = {key.split(".")[0].removeprefix("mapper_") for key in state}
    if not all(number.isdecimal() and number == str(int(number)) for number in numbers):
        raise CheckpointError(f"{path} has a mapper of an unknown kind; give one of StyleCLIP's.")
    moved = sorted(int(number) for number in numbers)
    widths = {i: shape_of(state, f"mapper_{i}.mapping.1.weight", 2, path)[0] for i in moved}
    # Styles of RGB layers (1, 4, 7, ...) may be left out. Each is as wide as the convolution after
    # it; the last one, which ends the generator, as the one before it.
    last = moved[-1] + (moved[-1] % 3 != 1)
    if last % 3 != 1 or any(i not in widths and i % 3 != 1 for i in range(last + 1)):
        raise CheckpointError(f"{path} lacks the networks of some styles; fetch it again.")
    neighbours = [i if i in widths else min(i + 1, last - 1) for i in range(last + 1)]
    channels = tuple(widths[i] for i in neighbours)
    nets = {str(i): f"mapper_{i}" for i in moved}
    config = StyleSpaceMapperConfig(channels=channels, moved=tuple(moved))
    return fill(lambda: StyleSpaceMapper(config), _renamed(state, nets, path), path)


def _renamed(
    state: Mapping[str, Tensor], nets: Mapping[str, str], path: Path
) -> Mapping[str, Tensor]:
    """`nets`: our network -> theirs."""
    names = {
        f"nets.{ours}.layers.{i}.{part}": [f"{theirs}.mapping.{i + 1}.{part}"]
        for ours, theirs in nets.items()
        for i in range(DEPTH)
        for part in ("weight", "bias")
    }
    renamed = rename(state, names, path)
    return Computed(renamed, lambda key: _effective(renamed[key]))


def _effective(value: Tensor) -> Tensor:
    scale = LEARNING_RATE_MULTIPLIER
    return value * (scale / math.sqrt(value.shape[1]) if value.dim() == 2 else scale)
