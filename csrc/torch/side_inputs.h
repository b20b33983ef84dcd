// Arguments as the kernels read them: images dense, what stands beside them dense and in the type
// that sums have.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/clone.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

#include "kernels/cpu/simd_types.h"

namespace styleclip {

using OptionalTensor = std::optional<at::Tensor>;

inline bool given(const OptionalTensor& tensor) { return tensor.has_value() && tensor->defined(); }

// An undefined tensor for one that is not given, and back.
inline at::Tensor plain(const OptionalTensor& tensor) { return tensor.value_or(at::Tensor()); }
inline OptionalTensor optional(const at::Tensor& tensor) {
  return tensor.defined() ? OptionalTensor(tensor) : OptionalTensor();
}

// Memory without gaps at an address that suits the type: torch takes arrays that begin anywhere.
inline at::Tensor dense(const at::Tensor& tensor,
                        at::MemoryFormat format = at::MemoryFormat::Contiguous) {
  const at::Tensor whole = tensor.contiguous(format);
  const auto address = reinterpret_cast<std::uintptr_t>(whole.const_data_ptr());
  return address % whole.element_size() == 0 ? whole : at::clone(whole, format);
}

// The layout in which ops that keep their input's read it and write.
inline at::MemoryFormat format_of(const at::Tensor& x) {
  const bool last =
      x.dim() == 4 && !x.is_contiguous() && x.is_contiguous(at::MemoryFormat::ChannelsLast);
  return last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

inline at::Tensor channels_last(const at::Tensor& tensor) {
  return dense(tensor, at::MemoryFormat::ChannelsLast);
}

// The type that side inputs and sums have beside activations of this type.
inline at::ScalarType wide(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

// A side input for activations of this type, undefined for none; keep the tensor while its pointer
// is used.
inline at::Tensor wide_side(const OptionalTensor& side, at::ScalarType type) {
  return given(side) ? dense(side->to(wide(type))) : at::Tensor();
}

// Its memory, null for none.
template <class C>
const C* pointer(const at::Tensor& side) {
  return side.defined() ? side.const_data_ptr<C>() : nullptr;
}

template <class S>
const S* read(const at::Tensor& image) {
  return image.defined() ? static_cast<const S*>(image.const_data_ptr()) : nullptr;
}
template <class S>
S* write(const at::Tensor& image) {
  return static_cast<S*>(image.mutable_data_ptr());
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

}  // namespace styleclip
