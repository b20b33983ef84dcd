"""``manifest.json``: what a bundle is made of, and the settings tuned for it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from styleclip_rt.errors import BundleError, StyleClipError
from styleclip_rt.folders import is_file_name, is_name
from styleclip_rt.settings import EditSettings

FORMAT = "styleclip-rt-bundle/1"


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle.

    Attributes:
        file: its name, beside the manifest; or, without a hash, among those that this package
            ships.
        sha256: in hexadecimal, or None for a shipped file.
    """

    file: str
    sha256: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says.

    Attributes:
        name: of the bundle.
        summary: one or two sentences for a listing.
        files: role (generator, clip, identity, draft_head, known_tokens) -> file.
        defaults: settings of an edit tuned for this bundle, by the names that `EditSettings` gives
            them.
        licences: role -> licence and origin.
        faces: whether its generator draws faces. A bundle of something else has no identity
            network, and nothing that is known of faces serves it.
    """

    name: str
    summary: str = ""
    files: Mapping[str, BundleFile] = field(default_factory=dict)
    defaults: Mapping[str, str | float | bool] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    faces: bool = True

    @property
    def settings(self) -> EditSettings:
        """The defaults; what they do not name is as `EditSettings` has it.

        Raises:
            StyleClipError: one of them is unknown, mistyped or out of range.
        """
        return EditSettings.of(self.defaults)

    def to_json(self) -> str:
        """The text of ``manifest.json``."""
        files = {
            role: {"file": entry.file} | ({"sha256": entry.sha256} if entry.sha256 else {})
            for role, entry in self.files.items()
        }
        content = {
            "format": FORMAT,
            "name": self.name,
            "summary": self.summary,
            "files": files,
            "defaults": dict(self.defaults),
            "licences": dict(self.licences),
        } | ({} if self.faces else {"faces": False})
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json`` in ``folder``.

    Raises BundleError if it is missing, or is not a manifest that this version can read.
    """
    return read_manifest_file(folder / "manifest.json")


def read_manifest_file(path: Path) -> Manifest:
    """Read a manifest wherever it lies; errors as `read_manifest`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); name a folder made by 'styleclip bundle'."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON ({error}); create the bundle again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BundleError(
            f"{path} is not a {FORMAT} manifest; create the bundle again with this version."
        )
    try:
        manifest = Manifest(
            name=_name(content["name"]),
            summary=_text(content.get("summary", "")),
            files={role: _bundle_file(value) for role, value in content["files"].items()},
            defaults={key: _setting(value) for key, value in content["defaults"].items()},
            licences={role: _text(value) for role, value in content["licences"].items()},
            faces=_truth(content.get("faces", True)),
        )
        manifest.settings  # noqa: B018 - raises what is wrong with them
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path} is damaged ({error}); create the bundle again.") from error
    except StyleClipError as error:
        raise BundleError(
            f"{path} has defaults that no edit can be made with ({str(error).rstrip('.')}); "
            "correct it, or create the bundle again."
        ) from error
    return manifest


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _name(value: object) -> str:
    if not is_name(value):
        raise ValueError(f"{value!r} is no name for a bundle")
    return str(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _setting(value: object) -> str | float | bool:
    if not isinstance(value, str | int | float):
        raise TypeError(f"{value!r} is no text, number, true or false")
    return value


def _bundle_file(value: Mapping[str, object]) -> BundleFile:
    name = _text(value["file"])
    if not is_file_name(name):
        raise ValueError(f"{name!r} is not a plain file name")
    sha256 = value.get("sha256")
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", _text(sha256)):
        raise ValueError(f"{sha256!r} is not a SHA-256")
    return BundleFile(name, None if sha256 is None else _text(sha256))
