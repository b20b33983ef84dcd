// Checks that several ops share; all raise before a kernel starts and hold for symbolic sizes too.
#pragma once

#include <ATen/core/Tensor.h>

#include <limits>
#include <optional>
#include <type_traits>

#include "kernels/cpu/simd_types.h"

namespace styleclip {

using OptionalTensor = std::optional<at::Tensor>;

inline bool given(const OptionalTensor& tensor) { return tensor.has_value() && tensor->defined(); }

inline void check_activations(const at::Tensor& x, const char* op) {
  TORCH_CHECK_VALUE(x.dim() == 4, op, " needs activations [N, C, H, W], got ", x.dim(),
                    " dimensions");
  const auto type = x.scalar_type();
  const bool known = type == at::kFloat || type == at::kBFloat16 ||
                     (x.is_cuda() ? type == at::kHalf : type == at::kDouble);
  TORCH_CHECK_TYPE(x.is_meta() ? x.is_floating_point() : known, op, "'s compiled op does not take ",
                   type, " on ", x.device().type());
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

// The type that side inputs and sums have beside activations of this type.
inline at::ScalarType wide(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

// A side input as the kernels read it; keep the tensor while its pointer is used.
inline at::Tensor wide_side(const OptionalTensor& side, at::ScalarType type) {
  return given(side) ? side->to(wide(type)).contiguous() : at::Tensor();
}

// Calls run(S()) for the type S of activations on a CPU.
template <class Run>
auto with_type(const at::Tensor& x, const Run& run) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return run(float());
    case at::kDouble:
      return run(double());
    default:
      return run(BFloat16());
  }
}

// A limit as activations of type S hold it: a clamped sample equals it, and so gets no gradient.
template <class S>
auto limit(std::optional<double> clamp) {
  using C = typename ComputeType<S>::type;
  if (!clamp) return std::numeric_limits<C>::infinity();
  if constexpr (std::is_same_v<S, BFloat16>) {
    return static_cast<float>(static_cast<c10::BFloat16>(static_cast<float>(*clamp)));
  } else {
    return static_cast<C>(*clamp);
  }
}

template <class C>
const C* pointer(const at::Tensor& side) {
  return side.defined() ? side.const_data_ptr<C>() : nullptr;
}

}  // namespace styleclip
