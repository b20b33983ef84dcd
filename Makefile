# Each target makes .venv if it is missing, installs what it needs, builds and runs.
PYTHON ?= python3
VENV ?= .venv
# Another build of torch, say one for CUDA, is chosen with TORCH="torch==2.13.0 --index-url ...".
TORCH ?= torch==2.13.0

PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --no-build-isolation
COMPILED := CMakeLists.txt setup.py pyproject.toml $(shell find csrc -type f)
INTERPRETED := README.md $(shell find python runtime export -type f -not -name '*.so' \
	-not -name '*.pyc' -not -path '*.egg-info/*')
# After `make develop` Python runs from where it lies, and only what is compiled is installed anew.
EDITABLE := $(if $(wildcard $(VENV)/.editable),--editable)
SOURCES := $(COMPILED) $(if $(EDITABLE),,$(INTERPRETED))

# What `make build` left, or was put into dist/, where it is newer than all that it is made of.
WHEEL := $(if $(EDITABLE),,$(filter dist/%.whl,$(firstword $(shell ls -t $(SOURCES) $(wildcard dist/styleclip_rt-*.whl)))))

ROOMS := $(filter-out styleclip_rt.cli,$(patsubst python/styleclip_rt/%/__init__.py,styleclip_rt.%,$(wildcard python/styleclip_rt/*/__init__.py)))

.PHONY: demo test develop lint docs benchmark build cuda-check clean
.NOTPARALLEL:

demo: $(VENV)/.package
	$(VENV)/bin/styleclip mapper apply hair-colour --prompt "red hair" --image examples/astronaut.jpg --out out/demo
	@echo "Before and after: $(CURDIR)/out/demo/comparison.png"

test: $(VENV)/.extras $(VENV)/.package
	$(VENV)/bin/python -m pytest tests

# Makes .venv editable, for good: a change of Python is live, one of csrc after the next `make`.
develop: $(VENV)/.extras
	rm -rf build/lib* build/bdist*
	$(INSTALL) --editable .
	touch $(VENV)/.editable $(VENV)/.package

lint: $(VENV)/.extras
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy -p styleclip_rt -p recipes -p benchmarks
	find csrc examples/cpp -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | xargs $(VENV)/bin/clang-format --dry-run -Werror

# The API from the docstrings: build/docs/index.html.
docs: $(VENV)/.docs
	PYTHONPATH=python $(VENV)/bin/pdoc --docformat google --output-directory build/docs $(ROOMS) styleclip_rt.settings styleclip_rt.errors

# Nothing else should run beside it. Takes twenty-five minutes, and goes on where it was stopped.
benchmark: $(VENV)/.bench $(VENV)/.package
	$(VENV)/bin/python -m benchmarks.report

build: $(VENV)/.tools
	rm -rf build/lib* build/bdist*
	$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist .

# Compiles every CUDA kernel and registration for all architectures, then runs the GPU's tests of
# the ops on emulated kernels; needs nvcc but no GPU.
cuda-check: $(VENV)/.extras $(VENV)/.package
	STYLECLIP_CUDA=ON $(VENV)/bin/python setup.py build_ext --build-temp build/cuda --build-lib build/cuda/lib
	$(VENV)/bin/cmake -S csrc/tests -B build/emulated -DCMAKE_BUILD_TYPE=Release -DTORCH_PYTHON=$(CURDIR)/$(VENV)/bin/python
	$(VENV)/bin/cmake --build build/emulated --target emulated_ops --parallel
	STYLECLIP_EMULATED_CUDA=build/emulated/libemulated_ops.so $(VENV)/bin/python -m pytest tests/gpu

# torch comes first and the build runs beside it: an isolated build would fetch a torch of its own.
$(VENV)/.tools:
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet setuptools wheel pybind11 cmake ninja
	touch $@

# A wheel serves if pip takes it here and its compiled ops are for the torch that is here.
$(VENV)/.package: $(SOURCES) | $(VENV)/.tools
	rm -rf build/lib* build/bdist*
	{ test -n "$(WHEEL)" && $(PIP) install --quiet $(WHEEL) && \
	$(PIP) install --quiet --force-reinstall --no-deps $(WHEEL) && \
	$(VENV)/bin/styleclip info | grep -q "^compiled ops: yes"; } || $(INSTALL) $(EDITABLE) .
	touch $@

$(VENV)/.extras: pyproject.toml | $(VENV)/.tools
	rm -rf build/lib* build/bdist*
	$(INSTALL) $(EDITABLE) ".[dev,probes,openvino,onnx]"
	touch $(VENV)/.package $@

$(VENV)/.bench $(VENV)/.docs: $(VENV)/.%: pyproject.toml | $(VENV)/.tools
	rm -rf build/lib* build/bdist*
	$(INSTALL) $(EDITABLE) ".[$*]"
	touch $(VENV)/.package $@

clean:
	rm -rf build dist .venv
