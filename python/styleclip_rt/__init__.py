"""Edit faces by text with StyleGAN2-family generators and CLIP."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from styleclip_rt.editing.settings import EditSettings
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.results import EditResult

__all__ = ["EditResult", "EditSettings", "Editor"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Importing torch takes a second, which `styleclip --help` need not wait for.
    if name == "EditSettings":
        from styleclip_rt.editing.settings import EditSettings

        return EditSettings
    if name == "EditResult":
        from styleclip_rt.runtime.results import EditResult

        return EditResult
    if name == "Editor":
        from styleclip_rt.runtime.editor import Editor

        return Editor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
