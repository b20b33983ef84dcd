#include "linear.h"

#include "isa.h"
#include "linear_isa.h"

namespace styleclip {

template <class S>
void linear(const Linear<S>& layer, S* y, std::int64_t part, std::int64_t parts) {
  STYLECLIP_BEST(linear(layer, y, part, parts));
}

STYLECLIP_LINEAR(template, float)
STYLECLIP_LINEAR(template, double)
STYLECLIP_LINEAR(template, BFloat16)

}  // namespace styleclip
