// Compiled once for each instruction set; see isa.h.
#include "packing.h"

#include "scratch.h"
#include "winograd.h"
#include "winograd_up.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// Whether a packing is of the weight's transpose, and whether for a layer that doubles the image.
constexpr bool transposed(PackedFor use) {
  return use == PackedFor::backward || use == PackedFor::backward_up;
}
constexpr bool doubles(PackedFor use) {
  return use == PackedFor::forward_up || use == PackedFor::backward_up;
}

template <class S>
std::int64_t packed_conv_bytes(std::int64_t in_channels, std::int64_t out_channels, int kernel,
                               PackedFor use, int tile) {
  const int side = doubles(use) ? axis_weights(tile) : tile ? tile + 2 : kernel;
  const int taps = side * side;
  return transposed(use) ? packed_bytes<S>(out_channels, in_channels, taps)
                         : packed_bytes<S>(in_channels, out_channels, taps);
}

template <class S>
void pack_conv(const ComputeOf<S>* weight, std::int64_t in_channels, std::int64_t out_channels,
               int kernel, PackedFor use, int tile, char* packed) {
  using C = ComputeOf<S>;
  const int taps = kernel * kernel;
  const bool reverse = transposed(use);
  const std::int64_t from = reverse ? out_channels : in_channels;
  const std::int64_t to = reverse ? in_channels : out_channels;
  const std::int64_t from_stride = reverse ? in_channels * taps : taps;
  const std::int64_t to_stride = reverse ? taps : in_channels * taps;
  if (tile == 0) {
    return pack<S>(weight, from, to, taps, from_stride, to_stride, reverse, packed);
  }
  C* scratch = reinterpret_cast<C*>(thread_scratch(from * to * sizeof(C)));
  const auto points = [&](const auto& transform) {
    pack_points<S>(transform, weight, from, to, from_stride, to_stride, reverse, scratch, packed);
  };
  if (doubles(use)) return tile == 4 ? points(UpWeights<4>().rows) : points(UpWeights<2>().rows);
  tile == 4 ? points(Transform<4>::weights) : points(Transform<2>::weights);
}

}  // namespace

template <class S>
const PackingKernels<S>& packing_kernels() {
  static constexpr PackingKernels<S> table{packed_conv_bytes<S>, pack_conv<S>};
  return table;
}
STYLECLIP_INSTANTIATE(PackingKernels, packing_kernels)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
