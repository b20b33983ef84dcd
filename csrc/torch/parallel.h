// Work parted among torch's threads.
#pragma once

#include <ATen/Parallel.h>

namespace styleclip {

// run(begin, end) for parts of [0, count), at least `grain` long each.
struct Parallel {
  template <class Run>
  void operator()(int64_t count, int64_t grain, const Run& run) const {
    at::parallel_for(0, count, grain, run);
  }
};
inline constexpr Parallel parallel;

}  // namespace styleclip
