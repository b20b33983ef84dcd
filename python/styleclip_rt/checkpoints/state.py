"""What every reader shares: reading a PyTorch file safely, and filling a model strictly."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from styleclip_rt.errors import CheckpointError

Model = TypeVar("Model", bound=nn.Module)


def read_torch_file(path: Path) -> object:
    """What ``torch.save`` wrote to ``path``: tensors in plain containers, on the CPU.

    Reads the zip and the legacy form. Nothing in the file is executed: anything but tensors
    and plain containers is an error.

    Raises CheckpointError if the file is missing, broken, or holds anything else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the path of a weights file.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds something other than plain tensors, or is broken; "
            "it was not run: fetch it again from its official source."
        ) from error
    except Exception as error:  # a parser of hostile bytes may raise anything
        raise CheckpointError(
            f"{path} is not a readable PyTorch file (truncated or of another kind); fetch it again."
        ) from error


def floats(value: Tensor, name: str, what: object) -> Tensor:
    """`value` as a plain float32 tensor on the CPU.

    Raises CheckpointError naming the tensor if it is not made of floats, or not dense.
    """
    kind = str(value.dtype).removeprefix("torch.")
    if value.is_meta:
        kind = "no numbers (a tensor of the device meta)"
    elif value.layout != torch.strided:
        kind = f"a {str(value.layout).removeprefix('torch.')} tensor"
    elif value.dtype.is_floating_point and not value.is_quantized:
        return value.detach().to("cpu", torch.float32)
    raise CheckpointError(f"{what} has {kind} in {name!r} where plain floats are needed.")


def fill(build: Callable[[], Model], state: Mapping[str, Tensor], path: Path) -> Model:
    """Build a model and give it exactly the tensors in ``state``.

    The model comes back in float32, in eval mode and with frozen weights.

    Raises CheckpointError naming the first missing, surplus or wrongly shaped tensor.
    """
    try:
        model = build()
    except Exception as error:
        raise CheckpointError(
            f"{path} describes a model that cannot be built ({error}); fetch or convert it again."
        ) from error
    wanted, name = model.state_dict(), f"a {type(model).__name__}"
    for key in wanted:
        if key not in state:
            raise CheckpointError(f"{path} lacks the tensor {key!r}; it does not fit {name}.")
    for key, value in state.items():
        if key not in wanted:
            raise CheckpointError(f"{path} has a surplus tensor {key!r}; it does not fit {name}.")
        if value.shape != wanted[key].shape:
            raise CheckpointError(
                f"{path} has the tensor {key!r} of shape {tuple(value.shape)} where "
                f"{tuple(wanted[key].shape)} is needed; it does not fit {name}."
            )
    model.load_state_dict(dict(state))
    return model.eval().requires_grad_(False)
