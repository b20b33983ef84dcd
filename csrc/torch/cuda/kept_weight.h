// Frozen weights as cuDNN and the kernels read them, made once.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/mul.h>

#include <functional>

#include "torch/cuda/device.h"
#include "torch/packed_weight.h"

namespace styleclip {

// What `make` makes of frozen weights, kept as `packed_weights` keeps it. Not while a graph is
// captured: memory of that time belongs to the graph, which fills it anew in every replay. A graph
// that was captured reads what is kept, so the weights may not be written to while it lives.
inline at::Tensor kept(at::TensorList weights, int64_t kind,
                       const std::function<at::Tensor()>& make) {
  const auto stream = current_stream(weights[0]);
  const bool keep = !cuda::is_capturing(stream);
  const auto made_in_full = [&] {
    at::Tensor made = make();
    // Other streams will read it without waiting for this one.
    if (keep) cuda::synchronize(stream);
    return made;
  };
  return packed_weights(weights, kind, made_in_full, keep);
}

// The weight of any shape in `type`, dense.
inline at::Tensor kept_matrix(const at::Tensor& weight, at::ScalarType type) {
  const at::Tensor plain = weight.detach();
  if (plain.scalar_type() == type) return plain.contiguous();
  return kept({weight}, -1 - static_cast<int64_t>(type),
              [&] { return plain.to(type).contiguous(); });
}

// The weight [O, I, k, k] in `type`, channels-last; times `factor` [O] where one is given.
inline at::Tensor kept_weight(const at::Tensor& weight, at::ScalarType type,
                              const OptionalTensor& factor = {}) {
  const at::Tensor plain = weight.detach();
  const bool scaled = factor && factor->defined();
  if (!scaled && plain.scalar_type() == type &&
      plain.is_contiguous(at::MemoryFormat::ChannelsLast)) {
    return plain;
  }
  const auto make = [&] {
    const at::Tensor whole =
        scaled ? at::mul(plain.to(at::kFloat), factor->detach().to(at::kFloat).view({-1, 1, 1, 1}))
               : plain;
    return whole.to(type).contiguous(at::MemoryFormat::ChannelsLast);
  };
  const auto kind = static_cast<int64_t>(type);
  return scaled ? kept({weight, *factor}, kind, make) : kept({weight}, kind, make);
}

}  // namespace styleclip
