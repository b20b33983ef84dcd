#include "separable_conv2d.h"

#include "isa.h"
#include "separable_conv2d_isa.h"

namespace styleclip {

template <class S>
void separable_conv2d(const SeparableConv<S>& layer, S* y, std::int64_t n, std::int64_t begin,
                      std::int64_t end) {
  STYLECLIP_BEST(separable_conv2d(layer, y, n, begin, end));
}

template <class S>
void separable_conv2d_backward(const SeparableConv<S>& layer, const SeparableConvGradients<S>& out,
                               std::int64_t n, std::int64_t begin, std::int64_t end) {
  STYLECLIP_BEST(separable_conv2d_backward(layer, out, n, begin, end));
}

STYLECLIP_SEPARABLE_CONV(template, float)
STYLECLIP_SEPARABLE_CONV(template, double)
STYLECLIP_SEPARABLE_CONV(template, BFloat16)

}  // namespace styleclip
