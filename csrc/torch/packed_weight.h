// Weights in the kernels' own layout or type, made once while a weight does not change.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <functional>

#include "kernels/cpu/modulated_conv2d.h"

namespace styleclip {

// What `pack` makes of weights under `kind` (any number that tells layouts apart). It is kept as
// long as the weights' memory lives and made anew when one was written to; `keep` says whether what
// is made now may be kept. `pack` may return none of the weights: it would live for ever.
at::Tensor packed_weights(at::TensorList weights, int64_t kind,
                          const std::function<at::Tensor()>& pack, bool keep = true);

// A weight [O, I] or [O, I, k, k] packed for images of type S; see `pack_conv`.
template <class S>
at::Tensor packed_conv_weight(const at::Tensor& weight, PackedFor use, int tile = 0) {
  using C = typename ComputeType<S>::type;
  const int64_t kind = 16 * (8 * static_cast<int64_t>(use) + tile) + sizeof(S);
  return packed_weights({weight}, kind, [&] {
    const at::Tensor plain = weight.detach().to(c10::CppTypeToScalarType<C>::value).contiguous();
    const int64_t outputs = plain.size(0), inputs = plain.size(1);
    const int kernel = plain.dim() == 2 ? 1 : static_cast<int>(plain.size(2));
    at::Tensor packed =
        at::empty({packed_conv_bytes<S>(inputs, outputs, kernel, use, tile)}, at::kByte);
    pack_conv<S>(plain.const_data_ptr<C>(), inputs, outputs, kernel, use, tile,
                 static_cast<char*>(packed.mutable_data_ptr()));
    return packed;
  });
}

}  // namespace styleclip
