"""TorchScript archives."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from styleclip_rt.engines import Array, checked
from styleclip_rt.engines.metadata import read_info
from styleclip_rt.errors import ExportError
from styleclip_rt.ops import _library


class TorchScriptEngine:
    """Runs a TorchScript archive.

    Raises:
        ExportError: the file is broken or not this package's, or needs compiled ops that are not
            here or of another version.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.info = read_info(path)
        if self.info.flavour == "fused":
            _library.check_version(self.info.version, path)
        _library.load()
        try:
            load: Any = torch.jit.load
            self._module = load(str(path), map_location=device)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            if "styleclip_rt::" in str(error):
                raise ExportError(
                    f"{path} needs compiled ops that this installation lacks or has in another "
                    "version: export it again with this one, or export the portable flavour."
                ) from None
            raise ExportError(
                f"{path} is not a readable TorchScript archive ({reason}): export it again."
            ) from None
        self._device = device

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `styleclip_rt.engines.Engine`."""
        tensors = [torch.from_numpy(a).to(self._device) for a in checked(self.info, inputs)]
        with torch.no_grad():
            outputs = self._module(*tensors)
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        names = [port.name for port in self.info.outputs]
        return {n: t.cpu().numpy() for n, t in zip(names, outputs, strict=True)}
