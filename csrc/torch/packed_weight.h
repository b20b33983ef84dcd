// Weights in the kernels' own layout, made once while a weight does not change.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace styleclip {

// The packed form of `weight` under `kind` (any number that tells layouts apart). It is kept as
// long as the weight's memory lives and made anew when the weight was written to.
at::Tensor packed_weight(const at::Tensor& weight, int64_t kind,
                         const std::function<at::Tensor(const at::Tensor&)>& pack);

}  // namespace styleclip
