"""Builds the compiled part with CMake; everything else about the package is in pyproject.toml.

Where no compiler, CMake or torch is at hand, or STYLECLIP_RT_NO_EXT=1 is set, the package
installs without the compiled part and runs on its reference ops.

CMake's folder is kept between builds, build/native or what --build-temp names: only what changed
is compiled again, and nothing where only Python did. STYLECLIP_CUDA, CMAKE_BUILD_PARALLEL_LEVEL
and the variables that CMake reads (CXX, CXXFLAGS, CUDACXX, CUDAARCHS) are heeded.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
TARGETS = {"styleclip_rt._native": "_native", "styleclip_rt._ops": "styleclip_ops"}
READ_BY_CMAKE = ("CXX", "CXXFLAGS", "LDFLAGS", "CUDACXX", "CUDAFLAGS", "CUDAARCHS")


class CMakeBuild(build_ext):
    """Builds each extension as a CMake target of the same build."""

    def finalize_options(self) -> None:
        # An editable install would build in a folder that is thrown away.
        self.build_temp = self.build_temp or str(ROOT / "build" / "native")
        super().finalize_options()

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
        if self._program("cmake") is None:
            return "no cmake was found"
        try:
            import pybind11  # noqa: F401
            import torch  # noqa: F401
        except (ImportError, OSError) as error:
            return f"{error}"
        return None

    @staticmethod
    def _program(name: str) -> str | None:
        beside_python = Path(sys.executable).parent
        return shutil.which(name, path=f"{beside_python}{os.pathsep}{os.environ.get('PATH')}")

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
        if "STYLECLIP_CUDA" in os.environ:
            settings["STYLECLIP_CUDA"] = os.environ["STYLECLIP_CUDA"]
        definitions = [f"-D{name}={value}" for name, value in settings.items()]
        ninja = self._program("ninja")
        if ninja:
            definitions += ["-GNinja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
        self._configure(definitions)
        # Together: each alone would leave cores idle.
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 1)
        targets = [TARGETS[ext.name] for ext in self.extensions]
        build = [self._program("cmake"), "--build", self.build_temp, "--parallel", jobs]
        subprocess.run([*build, "--target", *targets], check=True)
        super().build_extensions()

    def _configure(self, definitions: list[str]) -> None:
        """Run CMake from nothing if it ran for another Python, torch, compiler or setting.

        What changed in its own files it sees by itself; what it found elsewhere it keeps.
        """
        heeded = [f"{name}={os.environ.get(name, '')}" for name in READ_BY_CMAKE]
        wanted = "\n".join([str(ROOT), self._program("cmake") or "", *definitions, *heeded])
        made_for = Path(self.build_temp, "configured-for.txt")
        if made_for.is_file() and made_for.read_text() == wanted:
            return
        made_for.unlink(missing_ok=True)
        shutil.rmtree(Path(self.build_temp, "out"), ignore_errors=True)
        subprocess.run(
            [self._program("cmake"), "--fresh", "-S", ROOT, "-B", self.build_temp, *definitions],
            check=True,
        )
        made_for.write_text(wanted)

    def build_extension(self, ext: Extension) -> None:
        target = TARGETS[ext.name]
        (source,) = [
            path
            for path in Path(self.build_temp, "out").iterdir()
            if path.name.split(".")[0] in (target, f"lib{target}")
        ]
        built = Path(self.get_ext_fullpath(ext.name))
        built.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, built)


setup(
    ext_modules=[Extension(name, sources=[]) for name in TARGETS],
    cmdclass={"build_ext": CMakeBuild},
)
