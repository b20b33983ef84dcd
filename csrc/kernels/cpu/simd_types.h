// Element types of the kernels, and the type that each computes in.
#pragma once

#include <cstdint>

namespace styleclip {

struct BFloat16 {
  std::uint16_t bits;
};

template <class S>
struct ComputeType {
  using type = S;
};
template <>
struct ComputeType<BFloat16> {
  using type = float;
};

}  // namespace styleclip
