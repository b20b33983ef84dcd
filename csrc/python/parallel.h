// Work parted among threads, without a runtime that could meet another library's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <vector>

namespace styleclip::python {

// The threads to take where OMP_NUM_THREADS says nothing. module.cpp asks styleclip_rt.threads,
// which knows the process's CPUs and the container's quota of their time.
inline std::int64_t given_threads = 1;

inline std::int64_t threads() {
  if (const char* chosen = std::getenv("OMP_NUM_THREADS")) {
    const std::int64_t count = std::atoll(chosen);
    if (count > 0) return count;
  }
  return given_threads;
}

// run(begin, end) for parts of [0, count), at least `grain` long each; the last part is the
// caller's own.
struct Parallel {
  template <class Run>
  void operator()(std::int64_t count, std::int64_t grain, const Run& run) const {
    const std::int64_t parts =
        std::clamp<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1, threads());
    std::vector<std::future<void>> others;
    for (std::int64_t part = 0; part + 1 < parts; ++part) {
      others.push_back(std::async(std::launch::async, [&run, count, parts, part] {
        run(count * part / parts, count * (part + 1) / parts);
      }));
    }
    run(count * (parts - 1) / parts, count);
    for (auto& other : others) other.get();
  }
};
inline constexpr Parallel parallel;

}  // namespace styleclip::python
