#include "modulated_conv2d.h"

#include "isa.h"
#include "modulated_conv2d_isa.h"

namespace styleclip {

template <class S>
std::int64_t packed_conv_bytes(std::int64_t in_channels, std::int64_t out_channels, int kernel,
                               PackedFor use, int tile) {
  STYLECLIP_BEST(packed_conv_bytes<S>(in_channels, out_channels, kernel, use, tile));
}

template <class S>
void pack_conv(const typename ComputeType<S>::type* weight, std::int64_t in_channels,
               std::int64_t out_channels, int kernel, PackedFor use, int tile, char* packed) {
  STYLECLIP_BEST(pack_conv<S>(weight, in_channels, out_channels, kernel, use, tile, packed));
}

template <class S>
void modulated_conv2d(const ModulatedConv<S>& layer, const ModulatedConvOutputs<S>& out,
                      std::int64_t n, std::int64_t begin, std::int64_t end) {
  STYLECLIP_BEST(modulated_conv2d(layer, out, n, begin, end));
}

template <class S>
void modulated_conv2d_backward(const ModulatedConv<S>& layer, const ModulatedConvGradients<S>& out,
                               std::int64_t n, std::int64_t begin, std::int64_t end) {
  STYLECLIP_BEST(modulated_conv2d_backward(layer, out, n, begin, end));
}

STYLECLIP_MODULATED_CONV(template, float)
STYLECLIP_MODULATED_CONV(template, double)
STYLECLIP_MODULATED_CONV(template, BFloat16)

}  // namespace styleclip
