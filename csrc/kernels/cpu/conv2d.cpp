#include "conv2d.h"

#include "conv2d_isa.h"
#include "isa.h"

namespace styleclip {

template <class S>
void conv2d(const Conv2d<S>& layer, const S* x, S* y, std::int64_t n, std::int64_t begin,
            std::int64_t end) {
  STYLECLIP_BEST(conv2d(layer, x, y, n, begin, end));
}

template <class S>
void conv2d_backward(const Conv2d<S>& layer, const S* x, const S* grad_y, S* grad_x, std::int64_t n,
                     std::int64_t begin, std::int64_t end) {
  STYLECLIP_BEST(conv2d_backward(layer, x, grad_y, grad_x, n, begin, end));
}

STYLECLIP_CONV2D(template, float)
STYLECLIP_CONV2D(template, double)
STYLECLIP_CONV2D(template, BFloat16)

}  // namespace styleclip
