"""Pickles in the structure of stylegan2-ada-pytorch's, without its source code."""

import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SOURCE = "raise SystemExit('the embedded source was run')"


class Module:
    """Pickles as one of upstream's persistent modules does: by a call that carries source."""

    def __init__(self, class_name: str, **attributes: Any) -> None:
        self.class_name = class_name
        self.attributes = attributes
        self.tensors: dict[str, dict[str, Tensor]] = {"_parameters": {}, "_buffers": {}}
        self.children: dict[str, Module] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        state = {
            "training": False,
            **{key: OrderedDict(value) for key, value in self.tensors.items()},
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
            "_modules": OrderedDict(self.children),
            **self.attributes,
            "_init_args": (),
            "_init_kwargs": EasyDict(w_dim=32),
        }
        meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": self.class_name,
            "state": state,
        }
        return _reconstruct_persistent_obj, (meta,)


class EasyDict(dict):  # type: ignore[type-arg]
    """Stands for dnnlib's dict of the same name."""


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("the reader called into the pickle's module")


def generator(state: dict[str, Tensor], **facts: Any) -> Module:
    """The module tree of a generator whose state dict is ``state``.

    ``facts`` override attributes, by dotted name with "__" for ".".
    """
    root = Module("Generator", z_dim=32, c_dim=0, w_dim=32)
    for key, value in state.items():
        *parents, name = key.split(".")
        module = root
        for parent in parents:
            module = module.children.setdefault(parent, Module("Module"))
        kind = "_parameters" if name in _PARAMETERS else "_buffers"
        module.tensors[kind][name] = torch.nn.Parameter(value) if kind == "_parameters" else value
    for name, module in _named(root, ""):
        if name.startswith("mapping.fc"):
            module.attributes = {
                "activation": "lrelu",
                "weight_gain": np.float64(0.01 / np.sqrt(32)),
                "bias_gain": 0.01,
            }
        elif name.endswith(".affine"):
            module.attributes = {"activation": "linear", "bias_gain": 1}
        elif name.endswith((".conv0", ".conv1")):
            module.attributes = {
                "activation": "lrelu",
                "conv_clamp": 3,
                "act_gain": np.float64(np.sqrt(2)),
            }
    for key, value in facts.items():
        *parents, name = key.split("__")
        module = root
        for parent in parents:
            module = module.children[parent]
        module.attributes[name] = value
    return root


_PARAMETERS = ("weight", "bias", "const", "noise_strength")


def _named(module: Module, prefix: str) -> list[tuple[str, Module]]:
    found = [(prefix, module)]
    for name, child in module.children.items():
        found += _named(child, f"{prefix}.{name}".lstrip("."))
    return found


def write(content: Any, path: Path, protocol: int = 4) -> None:
    """Pickle ``content`` to ``path`` under the names of upstream's modules."""
    persistence = types.ModuleType("torch_utils.persistence")
    util = types.ModuleType("dnnlib.util")
    stand_ins = {"torch_utils.persistence": persistence, "dnnlib.util": util}
    for target, module in ((_reconstruct_persistent_obj, persistence), (EasyDict, util)):
        setattr(module, target.__name__, target)
        target.__module__ = module.__name__
    parents = {"torch_utils": types.ModuleType("torch_utils"), "dnnlib": types.ModuleType("dnnlib")}
    sys.modules.update({**parents, **stand_ins})
    try:
        path.write_bytes(pickle.dumps(content, protocol))
    finally:
        for name in (*parents, *stand_ins):
            del sys.modules[name]
