// Weights in the kernels' own layout or type, made once while a weight does not change.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <functional>

#include "kernels/cpu/packing.h"
#include "torch/side_inputs.h"

namespace styleclip {

// What `pack` makes of weights under `kind` (any number that tells layouts apart). It is kept as
// long as the weights' memory lives and made anew when one was written to, be it by torch or by
// NumPy; `keep` says whether what
// is made now may be kept. `pack` may return none of the weights: it would live for ever.
at::Tensor packed_weights(at::TensorList weights, int64_t kind,
                          const std::function<at::Tensor()>& pack, bool keep = true);

// A weight [O, I] or [O, I, k, k] packed for images of type S; see packing.h.
template <class S>
at::Tensor packed_conv_weight(const at::Tensor& weight, PackedFor use, int tile = 0) {
  using C = typename ComputeType<S>::type;
  const int64_t kind = 16 * (8 * static_cast<int64_t>(use) + tile) + sizeof(S);
  return packed_weights({weight}, kind, [&] {
    const at::Tensor plain = dense(weight.detach().to(c10::CppTypeToScalarType<C>::value));
    const int64_t outputs = plain.size(0), inputs = plain.size(1);
    const int kernel = plain.dim() == 2 ? 1 : static_cast<int>(plain.size(2));
    const auto& kernels = packing_kernels<S>();
    at::Tensor packed = at::empty({kernels.bytes(inputs, outputs, kernel, use, tile)}, at::kByte);
    kernels.pack(plain.const_data_ptr<C>(), inputs, outputs, kernel, use, tile,
                 static_cast<char*>(packed.mutable_data_ptr()));
    return packed;
  });
}

}  // namespace styleclip
