"""Tensors under the names of another program, brought under ours."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from styleclip_rt.errors import CheckpointError

_COUNTER = "num_batches_tracked"
"""Batch norm's counter of training steps: older files lack it and inference never reads it."""


def state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """`content` of a file as a state dict, name -> tensor.

    Raises CheckpointError if it is anything else.
    """
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds no state dict; give a file of named weights.")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path} holds {str(key)[:60]!r}, which is no named tensor; give a state dict."
            )
    return dict(content)


def shape_of(state: Mapping[str, Tensor], key: str, dims: int, path: Path) -> tuple[int, ...]:
    """The shape of `state[key]`, for reading a config from it.

    Raises CheckpointError if the tensor is missing, empty, or has not `dims` dimensions.
    """
    if key not in state:
        raise CheckpointError(f"{path} lacks the tensor {key!r}; it holds another model.")
    shape = tuple(state[key].shape)
    if len(shape) != dims or 0 in shape:
        raise CheckpointError(
            f"{path} has the tensor {key!r} of shape {shape} where {dims} dimensions are needed."
        )
    return shape


def count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many different numbers follow `prefix` in the keys of `state`."""
    heads = (key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix))
    return len({head for head in heads if head.isdigit()})


def rename(
    state: Mapping[str, Tensor], names: Mapping[str, Iterable[str]], path: Path
) -> dict[str, Tensor]:
    """Bring the tensors of `state` under our names; `names` maps ours to those in the file.

    Several tensors of the file for one name are joined along their first dimension.

    Raises CheckpointError naming a tensor that is missing, surplus or does not join.
    """
    renamed: dict[str, Tensor] = {}
    surplus = set(state)
    for ours, theirs in names.items():
        parts: list[Tensor] = []
        for key in theirs:
            if key in state:
                parts.append(state[key])
            elif key.endswith(_COUNTER):
                parts.append(torch.zeros((), dtype=torch.int64))
            else:
                raise CheckpointError(f"{path} lacks the tensor {key!r}; it holds another model.")
            surplus.discard(key)
        try:
            renamed[ours] = parts[0] if len(parts) == 1 else torch.cat(parts)
        except RuntimeError as error:
            keys = ", ".join(theirs)
            raise CheckpointError(f"{path} has {keys} in shapes that do not join.") from error
    if surplus:
        raise CheckpointError(
            f"{path} has the surplus tensor {min(surplus)!r}; it holds another model."
        )
    return renamed
