// Work parted among threads, without a runtime that could meet another library's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <string>
#include <thread>
#include <vector>
#ifdef __linux__
#include <sched.h>
#endif

namespace styleclip::python {

// OMP_NUM_THREADS, or the CPUs given to the process.
inline std::int64_t threads() {
  if (const char* chosen = std::getenv("OMP_NUM_THREADS")) {
    const std::int64_t count = std::atoll(chosen);
    if (count > 0) return count;
  }
#ifdef __linux__
  cpu_set_t mine;
  if (sched_getaffinity(0, sizeof mine, &mine) == 0) return CPU_COUNT(&mine);
#endif
  return std::max(1u, std::thread::hardware_concurrency());
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
