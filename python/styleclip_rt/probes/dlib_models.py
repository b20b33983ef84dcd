"""The dlib models, found on disk and loaded once."""

import importlib.metadata
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from styleclip_rt.errors import StyleClipError

_MISSING = (
    "The probes need dlib and its models, which are not installed; "
    "install them with `pip install 'styleclip-rt[probes]'`."
)


def _dlib() -> ModuleType:
    try:
        import dlib
    except ImportError as error:
        raise StyleClipError(_MISSING) from error
    module: ModuleType = dlib
    return module


def _model_file(name: str) -> str:
    # The distribution imports pkg_resources, which current Pythons lack: never import it.
    try:
        files = importlib.metadata.files("face-recognition-models") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise StyleClipError(_MISSING) from error
    for file in files:
        if file.name == name:
            path = Path(str(file.locate()))
            if path.is_file():
                return str(path)
    raise StyleClipError(_MISSING)


@lru_cache(maxsize=1)
def face_detector() -> Any:
    """HOG frontal-face detector (Dalal & Triggs 2005, dlib's five-view variant)."""
    return _dlib().get_frontal_face_detector()


@lru_cache(maxsize=1)
def landmark_predictor() -> Any:
    """68-point shape predictor (Kazemi & Sullivan 2014) trained on iBUG 300-W."""
    return _dlib().shape_predictor(_model_file("shape_predictor_68_face_landmarks.dat"))


@lru_cache(maxsize=1)
def identity_network() -> Any:
    """ResNet-29 face embedding, 128 numbers; one person lies within distance 0.6."""
    return _dlib().face_recognition_model_v1(
        _model_file("dlib_face_recognition_resnet_model_v1.dat")
    )


def rectangle(left: float, top: float, right: float, bottom: float) -> Any:
    """dlib's box, rounded to pixels."""
    return _dlib().rectangle(round(left), round(top), round(right), round(bottom))
