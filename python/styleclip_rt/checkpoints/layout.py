"""Tensors under the names of another program, brought under ours."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from styleclip_rt.checkpoints.state import floats, kind_of
from styleclip_rt.checkpoints.torch_file import Unusable
from styleclip_rt.errors import CheckpointError

_COUNTER = "num_batches_tracked"
"""Batch norm's counter of training steps: older files lack it and inference never reads it."""

_PARALLEL = "module."
"""What DataParallel and DistributedDataParallel put before every name."""


class Computed(Mapping[str, Tensor]):
    """Tensors by name, each made when it is asked for, so that all are never twice in memory.

    Args:
        names: of them.
        make: the tensor of a name.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], Tensor]) -> None:
        self.names, self.make = dict.fromkeys(names), make

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.names:
            raise KeyError(name)
        return self.make(name)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """`content` of a file as a state dict, name -> tensor, without DataParallel's "module.".

    Raises CheckpointError if it is anything else.
    """
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds no state dict; give a file of named weights.")
    for key, value in content.items():
        if isinstance(value, Unusable):
            raise CheckpointError(f"{path} has {value.kind} in {key!r}; save plain tensors.")
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path} holds {str(key)[:60]!r}, which is no named tensor; give a state dict."
            )
    if all(key.startswith(_PARALLEL) for key in content):
        return {key.removeprefix(_PARALLEL): value for key, value in content.items()}
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
) -> Mapping[str, Tensor]:
    """Bring the tensors of `state` under our names, in float32; `names` maps ours to those in the
    file.

    Several tensors of the file for one name are joined along their first dimension, each when it
    is asked for.

    Raises CheckpointError naming a tensor that is missing, surplus, does not join or is not made of
    finite floats.
    """
    surplus = set(state)
    for theirs in names.values():
        for key in theirs:
            if key not in state and not key.endswith(_COUNTER):
                raise CheckpointError(f"{path} lacks the tensor {key!r}; it holds another model.")
            surplus.discard(key)
    if surplus:
        raise CheckpointError(
            f"{path} has the surplus tensor {min(surplus)!r}; it holds another model."
        )

    def part(key: str) -> Tensor:
        if not key.endswith(_COUNTER):
            return floats(state[key], key, path)
        counter = state.get(key, torch.zeros((), dtype=torch.int64))
        if kind := kind_of(counter):
            raise CheckpointError(f"{path} has {kind} in {key!r} where a number is needed.")
        return counter

    def join(ours: str) -> Tensor:
        keys = list(names[ours])
        try:
            return part(keys[0]) if len(keys) == 1 else torch.cat([part(key) for key in keys])
        except RuntimeError as error:
            listed = ", ".join(keys)
            raise CheckpointError(f"{path} has {listed} in shapes that do not join.") from error

    return Computed(names, join)
