"""What every reader shares: reading a PyTorch file safely, and filling a model strictly."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules import module as registration
from torch.overrides import TorchFunctionMode

from styleclip_rt.checkpoints.archive import BrokenArchive
from styleclip_rt.checkpoints.header import check_size, reason_of
from styleclip_rt.checkpoints.pickled import BrokenPickle, ForeignName, Make
from styleclip_rt.checkpoints.torch_file import Unusable, read_legacy, read_zip
from styleclip_rt.errors import CheckpointError

Model = TypeVar("Model", bound=nn.Module)


def read_torch_file(path: Path, names: Make | None = None) -> object:
    """What ``torch.save`` wrote to ``path``: tensors in plain containers, on the CPU.

    Reads the zip and the legacy form. Nothing in the file is executed: anything but tensors
    and plain containers is an error, unless ``names`` knows its name (see `pickled`).

    Raises CheckpointError if the file is missing, broken, or holds anything else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give the path of a weights file.")
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                return read_zip(path, names)
            file.seek(0)
            return read_legacy(file, path.stat().st_size, names)
    except ForeignName as error:
        raise CheckpointError(f"{path} {described(error.name)}") from error
    except (BrokenPickle, BrokenArchive) as error:
        raise CheckpointError(
            f"{path} is not a readable PyTorch file ({error}); fetch it again."
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors in the safetensors file ``path``, on the CPU.

    Raises CheckpointError if it is missing, broken, or has numbers that PyTorch does not know.
    """
    check_size(path, str(path))
    try:
        return load_file(path)
    except Exception as error:  # the library's Python half meets what its parser lets through
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({reason_of(error)}); "
            "fetch or convert it again."
        ) from error


def described(name: str) -> str:
    """What a pickle is that names ``name``, and what to do, as the rest of a sentence."""
    shown = ascii(name[:100])[1:-1]
    if name.startswith(("dnnlib.tflib.", "tensorflow.", "training.networks_stylegan2.")):
        return (
            f"is a pickle of TensorFlow's StyleGAN ({shown}), which only TensorFlow can open; "
            "convert it with rosinality's convert_weight.py or stylegan2-ada-pytorch's "
            "legacy.py, and give the result."
        )
    return (
        f"is a pickle of other things than plain weights: it names {shown}; nothing in it was "
        "run: if it is a whole model, open it with the program that made it and save its "
        "state_dict()."
    )


def floats(value: object, name: str, what: object) -> Tensor:
    """``value`` as a plain float32 tensor on the CPU.

    Raises CheckpointError naming the tensor if it is none, not made of floats, not dense, or not
    finite.
    """
    kind = kind_of(value)
    if isinstance(value, Tensor) and not kind and value.dtype.is_floating_point:
        plain = value.detach().to("cpu", torch.float32)
        # Unlike isfinite() this needs no memory, and NaN passes through both.
        if plain.numel() and not all(edge.isfinite() for edge in torch.aminmax(plain)):
            raise CheckpointError(
                f"{what} has numbers in {name!r} that are not finite (NaN or infinity); "
                "fetch or save it again."
            )
        return plain
    if isinstance(value, Tensor) and not kind:
        kind = str(value.dtype).removeprefix("torch.")
    raise CheckpointError(f"{what} has {kind} in {name!r} where plain floats are needed.")


def kind_of(value: object) -> str:
    """What ``value`` is where a tensor of plain numbers is needed; "" if it is one."""
    if isinstance(value, Unusable):
        return value.kind
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if value.is_meta:
        return "a tensor without numbers (device meta)"
    if value.layout != torch.strided:
        return "a sparse tensor"
    return "a quantised tensor" if value.is_quantized else ""


def fill(build: Callable[[], Model], state: Mapping[str, Tensor], path: Path) -> Model:
    """Build a model and give it exactly the tensors in ``state``.

    The model comes back in float32, in eval mode and with frozen weights. It is built only after
    its shapes were compared with the file's, whatever size its config asks for.

    Raises CheckpointError naming the first missing, surplus or wrongly shaped tensor, or the first
    whose numbers are no finite floats.
    """
    wanted, name = _shapes(build, len(state), path)
    for key in wanted:
        if key not in state:
            raise CheckpointError(f"{path} lacks the tensor {key!r}; it does not fit {name}.")
    for key in state:
        if key not in wanted:
            raise CheckpointError(f"{path} has a surplus tensor {key!r}; it does not fit {name}.")
        shape = state[key].shape
        if shape != wanted[key].shape:
            raise CheckpointError(
                f"{path} has the tensor {key!r} of shape {tuple(shape)} where "
                f"{tuple(wanted[key].shape)} is needed; it does not fit {name}."
            )
    with _Unfilled():
        model = build()
    with torch.no_grad():
        for key, target in model.state_dict().items():
            # Batch norm's counters of training steps are integers, which inference never reads.
            value = floats(state[key], key, path) if target.is_floating_point() else state[key]
            target.copy_(value)
        # What a model derives from its weights it brings up to date when it is loaded.
        model.load_state_dict(model.state_dict(), assign=True)
    return model.eval().requires_grad_(False)


def keys_of(build: Callable[[], nn.Module], tensors: int, path: Path) -> list[str]:
    """The names of a model's tensors, where a file has so many tensors.

    Raises CheckpointError if no such model can be built.
    """
    return list(_shapes(build, tensors, path)[0])


def _shapes(
    build: Callable[[], nn.Module], tensors: int, path: Path
) -> tuple[Mapping[str, Tensor], str]:
    """The state of a model that takes no memory, and what the model is called."""
    try:
        with torch.device("meta"), _Limit(4 * tensors + 64), _Unfilled():
            model = build()
        return model.state_dict(), f"a {type(model).__name__}"
    except Exception as error:
        raise CheckpointError(
            f"{path} describes a model that cannot be built ({reason_of(error)}); "
            "fetch or convert it again."
        ) from error


class _Limit:
    """Ends the building of a model that has far more parts than its file has tensors."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.thread = threading.get_ident()

    def __enter__(self) -> None:
        self.hooks = [
            registration.register_module_parameter_registration_hook(self._count),
            registration.register_module_buffer_registration_hook(self._count),
            registration.register_module_module_registration_hook(self._count),
        ]

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _count(self, *_: object) -> None:
        if threading.get_ident() == self.thread:
            self.left -= 1
            if self.left < 0:
                raise ValueError("its config asks for more layers than the file has")


class _Unfilled(TorchFunctionMode):
    """Leaves out the first values of weights, which the file's replace at once (and which take a
    second to import where weights are only shapes)."""

    _DRAWN = (torch.randn, torch.rand)
    _IN_PLACE = (
        *(Tensor.normal_, Tensor.uniform_),
        *(nn.init.normal_, nn.init.uniform_, nn.init.trunc_normal_),
        *(nn.init.kaiming_uniform_, nn.init.kaiming_normal_),
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in self._DRAWN:
            return torch.empty(*args, **named)
        if func in self._IN_PLACE:
            return args[0] if args else named["tensor"]
        return func(*args, **named)
