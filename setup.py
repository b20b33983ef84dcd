"""Builds the compiled part with CMake; everything else about the package is in pyproject.toml.

Where no compiler, CMake or torch is at hand, or STYLECLIP_RT_NO_EXT=1 is set, the package
installs without the compiled part and runs on its reference ops.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
TARGETS = {"styleclip_rt._native": "_native", "styleclip_rt._ops": "styleclip_ops"}


class CMakeBuild(build_ext):
    """Builds each extension as a CMake target of the same build."""

    def get_ext_filename(self, fullname: str) -> str:
        # The op library is no Python module: C++ programs load it too, under a plain name.
        *package, name = fullname.split(".")
        if name == "_ops":
            suffix = "dylib" if sys.platform == "darwin" else "so"
            return os.path.join(*package, f"libstyleclip_ops.{suffix}")
        return super().get_ext_filename(fullname)

    def run(self) -> None:
        reason = self._why_not()
        if reason is None:
            try:
                super().run()
                return
            except (subprocess.CalledProcessError, OSError) as error:
                reason = f"the build failed ({error})"
        self.extensions = []
        self.warn(
            f"styleclip_rt installs WITHOUT its compiled ops: {reason}. It runs on the slower "
            "reference ops; install a C++20 compiler, cmake, pybind11 and torch and reinstall "
            "with --no-build-isolation to get the compiled ones."
        )

    def _why_not(self) -> str | None:
        if os.environ.get("STYLECLIP_RT_NO_EXT", "0") not in ("", "0"):
            return "STYLECLIP_RT_NO_EXT is set"
        if self._cmake() is None:
            return "no cmake was found"
        try:
            import pybind11  # noqa: F401
            import torch  # noqa: F401
        except (ImportError, OSError) as error:
            return f"{error}"
        return None

    @staticmethod
    def _cmake() -> str | None:
        beside_python = Path(sys.executable).parent
        return shutil.which("cmake", path=f"{beside_python}{os.pathsep}{os.environ.get('PATH')}")

    def build_extensions(self) -> None:
        import pybind11
        import torch
        from torch.utils import cpp_extension

        settings = {
            "CMAKE_BUILD_TYPE": "Debug" if self.debug else "Release",
            "CMAKE_LIBRARY_OUTPUT_DIRECTORY": Path(self.build_temp).resolve() / "out",
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "STYLECLIP_VERSION": self.distribution.get_version(),
            "TORCH_VERSION": torch.__version__,
            "TORCH_CUDA_VERSION": torch.version.cuda or "",
            "TORCH_CXX11_ABI": int(torch.compiled_with_cxx11_abi()),
            "TORCH_INCLUDE_DIRS": ";".join(cpp_extension.include_paths()),
            "TORCH_LIBRARY_DIR": Path(torch.__file__).parent / "lib",
        }
        # CMake reads the CUDA compiler and architectures from CUDACXX and CUDAARCHS by itself.
        if "STYLECLIP_CUDA" in os.environ:
            settings["STYLECLIP_CUDA"] = os.environ["STYLECLIP_CUDA"]
        definitions = [f"-D{name}={value}" for name, value in settings.items()]
        # Without --fresh a build folder configured for another Python or torch would be reused.
        subprocess.run(
            [self._cmake(), "--fresh", "-S", ROOT, "-B", self.build_temp, *definitions], check=True
        )
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        target = TARGETS[ext.name]
        subprocess.run(
            [self._cmake(), "--build", self.build_temp, "--target", target, "--parallel"],
            check=True,
        )
        (source,) = [
            path
            for path in Path(self.build_temp, "out").iterdir()
            if path.name.split(".")[0] in (target, f"lib{target}")
        ]
        built = Path(self.get_ext_fullpath(ext.name))
        built.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, built)


setup(
    packages=[
        *find_packages("python"),
        "styleclip_rt.runtime",
        *(f"styleclip_rt.runtime.{name}" for name in find_packages("runtime")),
        "styleclip_rt.export",
    ],
    package_dir={
        "": "python",
        "styleclip_rt.runtime": "runtime",
        "styleclip_rt.export": "export",
    },
    ext_modules=[Extension(name, sources=[]) for name in TARGETS],
    cmdclass={"build_ext": CMakeBuild},
)
