#include "pixelwise.h"

#include "isa.h"
#include "pixelwise_isa.h"

namespace styleclip {

template <class S>
void bias_act(const BiasAct<S>& a, const S* x, S* y, std::int64_t begin, std::int64_t end) {
  STYLECLIP_BEST(bias_act(a, x, y, begin, end));
}

template <class S>
void bias_act_backward(const BiasAct<S>& a, const S* grad, const S* y, S* grad_x,
                       std::int64_t begin, std::int64_t end) {
  STYLECLIP_BEST(bias_act_backward(a, grad, y, grad_x, begin, end));
}

template <class S>
void upfirdn2d(const Upfirdn2d<S>& a, const S* x, S* y, typename ComputeType<S>::type* space,
               std::int64_t begin, std::int64_t end) {
  STYLECLIP_BEST(upfirdn2d(a, x, y, space, begin, end));
}

template <class S>
void idwt2d(const Haar<S>& a, const S* bands, S* image, std::int64_t begin, std::int64_t end) {
  STYLECLIP_BEST(idwt2d(a, bands, image, begin, end));
}

template <class S>
void dwt2d(const Haar<S>& a, const S* image, S* bands, std::int64_t begin, std::int64_t end) {
  STYLECLIP_BEST(dwt2d(a, image, bands, begin, end));
}

STYLECLIP_PIXELWISE(template, float)
STYLECLIP_PIXELWISE(template, double)
STYLECLIP_PIXELWISE(template, BFloat16)

}  // namespace styleclip
