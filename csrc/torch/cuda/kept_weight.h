// Frozen weights as cuDNN and the kernels read them, made once.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "torch/cuda/device.h"
#include "torch/packed_weight.h"

namespace styleclip {

// What `make` makes of a weight, kept as `packed_weight` keeps it. Not while a graph is captured:
// memory of that time belongs to the graph, which fills it anew in every replay.
inline at::Tensor kept(const at::Tensor& weight, int64_t kind,
                       const std::function<at::Tensor(const at::Tensor&)>& make) {
  const auto stream = current_stream(weight);
  const bool keep = !cuda::is_capturing(stream);
  const auto made_in_full = [&](const at::Tensor& from) {
    at::Tensor made = make(from.detach());
    // Other streams will read it without waiting for this one.
    if (keep) cuda::synchronize(stream);
    return made;
  };
  return packed_weight(weight, kind, made_in_full, keep);
}

// The weight [O, I, k, k] in `type`, channels-last.
inline at::Tensor kept_weight(const at::Tensor& weight, at::ScalarType type) {
  return kept(weight, static_cast<int64_t>(type), [&](const at::Tensor& from) {
    return from.to(type).contiguous(at::MemoryFormat::ChannelsLast);
  });
}

}  // namespace styleclip
