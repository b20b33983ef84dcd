// Checks that several ops share; all raise before a kernel starts and hold for symbolic sizes too.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "kernels/faults.h"
#include "torch/side_inputs.h"

namespace styleclip {

// A symbolic size has no bound to be held against before it is known.
template <>
inline bool fits<c10::SymInt>(const c10::SymInt& size) {
  const auto known = size.maybe_as_int();
  return !known || fits(*known);
}

// Raises what faults.h found.
inline void check_fault(const std::string& fault) { TORCH_CHECK_VALUE(fault.empty(), fault); }

// The types that an op is written for are float32 and bfloat16, float64 on a CPU, float16 on
// others.
inline void check_type(const at::Tensor& x, const char* op) {
  const auto type = x.scalar_type();
  const bool known = type == at::kFloat || type == at::kBFloat16 ||
                     (type == at::kDouble && !x.is_cuda()) || (type == at::kHalf && !x.is_cpu());
  TORCH_CHECK_TYPE(known, op, "'s compiled op does not take ", type, " on ", x.device().type());
}

inline void check_activations(const at::Tensor& x, const char* op) {
  TORCH_CHECK_VALUE(x.dim() == 4, op, " needs activations [N, C, H, W], got ", x.dim(),
                    " dimensions");
  check_type(x, op);
  check_fault(sizes_fault(op, "the activations", x.sym_sizes()));
}

inline void check_side(const at::Tensor& x, const at::Tensor& side, const char* name,
                       c10::SymIntArrayRef sizes, const char* op) {
  TORCH_CHECK_VALUE(side.device() == x.device(), op, ": ", name, " is on ", side.device(),
                    ", the activations on ", x.device());
  TORCH_CHECK_TYPE(side.is_floating_point(), op, ": ", name, " is ", side.scalar_type(),
                   ", not floating-point");
  TORCH_CHECK_VALUE(side.sym_sizes() == sizes, op, ": ", name, " has shape ", side.sym_sizes(),
                    " where ", sizes, " fits");
}

inline void check_side(const at::Tensor& x, const OptionalTensor& side, const char* name,
                       c10::SymIntArrayRef sizes, const char* op) {
  if (given(side)) check_side(x, *side, name, sizes, op);
}

// Calls run(S()) for the type S of activations on a CPU.
template <class Run>
auto with_type(const at::Tensor& x, const Run& run) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return run(float());
    case at::kDouble:
      return run(double());
    case at::kBFloat16:
      return run(BFloat16());
    default:
      TORCH_CHECK_TYPE(false, "no kernel takes ", x.scalar_type(), " on a CPU");
  }
}

}  // namespace styleclip
