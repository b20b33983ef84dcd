// The CPU ops on arrays: each file adds its own to the module, as torch's registrations do.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

namespace styleclip::python {

using AddOp = void (*)(pybind11::module_& module);

inline std::vector<AddOp>& all_ops() {
  static std::vector<AddOp> ops;
  return ops;
}

// At namespace scope: has `add` called when the module is made.
struct RegisterOp {
  explicit RegisterOp(AddOp add) { all_ops().push_back(add); }
};

}  // namespace styleclip::python
