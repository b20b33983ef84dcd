import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
BUILT_WITHOUT = os.environ.get("STYLECLIP_RT_NO_EXT", "0") not in ("", "0")
COMPILER = any(shutil.which(name) for name in ("c++", "g++", "clang++"))


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT.anchor,
    )


def build_wheel(folder, **environment):
    """Build a wheel from a copy of the sources, so that the checkout stays as it is."""
    source = folder / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("csrc", "python", "runtime", "export"):
        built = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info", "*.safetensors")
        shutil.copytree(ROOT / name, source / name, ignore=built)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-build-isolation",
            "--no-deps",
            "--verbose",
            "--wheel-dir",
            folder,
            source,
        ],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel, result.stdout + result.stderr


def modules():
    """Where every module of the sources is to lie in a wheel."""
    roots = {"python": "", "runtime": "styleclip_rt/runtime/", "export": "styleclip_rt/export/"}
    return {
        f"{place}{path.relative_to(ROOT / root).as_posix()}"
        for root, place in roots.items()
        for path in (ROOT / root).rglob("*.py")
    }


def test_package_and_its_second_root_import_from_anywhere():
    shown = python("import styleclip_rt.runtime as r, styleclip_rt as s; print(r.__name__)")
    assert shown.stdout.strip() == "styleclip_rt.runtime"
    assert importlib.metadata.version("styleclip-rt")


def test_requirements_without_torch_are_the_package_s_own():
    ours = [Requirement(each) for each in importlib.metadata.requires("styleclip-rt")]
    wanted = {
        (each.name, each.specifier)
        for each in ours
        if (each.marker is None and each.name != "torch")
        or (each.name == "onnxruntime" and each.marker.evaluate({"extra": "onnx"}))
    }
    listed = (ROOT / "requirements-without-torch.txt").read_text().splitlines()[1:]
    assert {(each.name, each.specifier) for each in map(Requirement, listed)} == wanted


def test_package_is_typed():
    import styleclip_rt

    assert (Path(styleclip_rt.__file__).parent / "py.typed").exists()


@pytest.mark.skipif(BUILT_WITHOUT or not COMPILER, reason="needs a C++ compiler")
def test_compiled_part_is_there_and_speaks():
    import torch

    from styleclip_rt import _native
    from styleclip_rt.ops import _library

    assert _library.load()
    assert torch.ops.styleclip_rt.area_resample.default
    info = _native.build_info()
    assert info["version"] == importlib.metadata.version("styleclip-rt")
    assert info["torch"] == torch.__version__
    assert all(type(has) is bool for has in _native.cpu_features().values())


def test_wheel_without_a_compiler_is_pure_and_says_so_once(tmp_path):
    wheel, log = build_wheel(tmp_path, STYLECLIP_RT_NO_EXT="1")
    assert "WITHOUT its compiled ops: STYLECLIP_RT_NO_EXT is set" in log
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert "styleclip_rt/py.typed" in names
    assert "styleclip_rt/runtime/__init__.py" in names
    assert modules() <= set(names)
    assert not [name for name in names if "recipes" in name]
    assert not [name for name in names if name.endswith(".so")]

    used = python(
        "import torch, styleclip_rt\n"
        "from styleclip_rt.ops import _library\n"
        "from styleclip_rt.ops.area_resample import area_resample\n"
        "assert not _library.load() and not _library.load()\n"
        "print(styleclip_rt.__file__, area_resample(torch.ones(1, 3, 8, 8), 4).mean().item())",
        PYTHONPATH=str(tmp_path / "installed"),
    )
    assert str(tmp_path) in used.stdout and used.stdout.strip().endswith("1.0")
    assert used.stderr.count("it runs slower") == 1


@pytest.mark.skipif(BUILT_WITHOUT or not COMPILER, reason="needs a C++ compiler")
def test_failed_build_falls_back(tmp_path):
    wheel, log = build_wheel(tmp_path, CXX="/nonexistent/compiler")
    assert "WITHOUT its compiled ops: the build failed" in log
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]


def test_the_version_stands_in_pyproject_alone(monkeypatch):
    """So a bump there is one of the package, of its exports and of its compiled ops."""
    import styleclip_rt
    from styleclip_rt.ops import _library

    if _library.load():
        import torch

        assert torch.ops.styleclip_rt.version() == styleclip_rt.__version__
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"9.9 of {name}")
    assert styleclip_rt.__version__ == "9.9 of styleclip-rt"
