"""Archives of AOTInductor."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from styleclip_rt.engines import Array, checked
from styleclip_rt.engines.export_info import KEY, ExportInfo
from styleclip_rt.engines.metadata import aotinductor_metadata
from styleclip_rt.errors import ExportError
from styleclip_rt.ops import _library


class AotInductorEngine:
    """Runs an archive of AOTInductor.

    Raises:
        ExportError: the file is broken or not this package's, was compiled for another device, or
            needs compiled ops that are not here or of another version.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        known = aotinductor_metadata(path)
        self.info = ExportInfo.from_json(known.get(KEY), path)
        if self.info.flavour == "fused":
            _library.check_version(self.info.version, path)
        compiled_for = known.get("AOTI_DEVICE_KEY", "another device")
        if compiled_for != device:
            raise ExportError(
                f"{path} was compiled for {compiled_for}, not for {device}: choose "
                "that device, or another kind of file."
            )
        _library.load()
        # It warns of an outdated file before it raises for whatever else is wrong.
        logging.getLogger("torch._inductor.package.package").setLevel(logging.ERROR)
        load: Any = torch._inductor.aoti_load_package
        try:
            self._module = load(str(path))
        except Exception as error:  # The archive, the linker and the op registry each have theirs.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            if "styleclip_rt::" in str(error):
                raise ExportError(
                    f"{path} needs compiled ops that this installation lacks or has in another "
                    "version: export it again with this one."
                ) from None
            raise ExportError(
                f"{path} is not a readable archive of AOTInductor ({lines[0]}): export it again."
            ) from None

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `styleclip_rt.engines.Engine`."""
        tensors = [torch.from_numpy(array) for array in checked(self.info, inputs)]
        with torch.no_grad():
            outputs = self._module(*tensors)
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        names = [port.name for port in self.info.outputs]
        return {n: t.numpy() for n, t in zip(names, outputs, strict=True)}
