// Convolutions' weights in the layout that the register tiles read (register_tile.h), transformed
// where the layer is computed by Winograd's tiles.
#pragma once

#include <cstdint>

#include "isa.h"

namespace styleclip {

enum class PackedFor { forward, backward, forward_up, backward_up };

// Of a weight [O, I, k, k], for a layer of S images that is computed by `tile` (heuristics.h).
template <class S>
struct PackingKernels {
  using C = typename ComputeType<S>::type;
  std::int64_t (*bytes)(std::int64_t in_channels, std::int64_t out_channels, int kernel,
                        PackedFor use, int tile);
  void (*pack)(const C* weight, std::int64_t in_channels, std::int64_t out_channels, int kernel,
               PackedFor use, int tile, char* packed);
};
STYLECLIP_KERNELS(PackingKernels, packing_kernels)

}  // namespace styleclip
