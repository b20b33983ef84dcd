"""Edit faces by text with StyleGAN2-family generators and CLIP."""

import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.results import EditResult
    from styleclip_rt.settings import EditSettings

    __version__: str

__all__ = ["EditResult", "EditSettings", "Editor"]


def __getattr__(name: str) -> Any:
    # Importing torch takes a second, which `styleclip --help` need not wait for.
    if name == "__version__":
        # Whatever version pyproject.toml had when the package was built; the op library has it too.
        return importlib.metadata.version("styleclip-rt")
    if name == "EditSettings":
        from styleclip_rt.settings import EditSettings

        return EditSettings
    if name == "EditResult":
        from styleclip_rt.runtime.results import EditResult

        return EditResult
    if name == "Editor":
        from styleclip_rt.runtime.editor import Editor

        return Editor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
