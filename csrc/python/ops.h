// The CPU ops on arrays: each file adds its own to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace styleclip::python {

void add_pixelwise(pybind11::module_& module);
void add_area_resample(pybind11::module_& module);
void add_convolutions(pybind11::module_& module);

}  // namespace styleclip::python
