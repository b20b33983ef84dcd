// How the convolutions' rows are parted among threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace styleclip {

// Each sample's rows are cut into `per_sample` bands; a band is one thread's work, because its
// first rows cost extra.
struct Bands {
  Bands(std::int64_t samples, std::int64_t rows, std::int64_t threads)
      : samples(samples),
        rows(rows),
        per_sample(samples % threads == 0 ? 1
                                          : std::max<std::int64_t>(1, std::min(threads, rows))) {}

  // run(sample, band, first row, last row), by parallel(count, grain, run of a range).
  template <class Parallel, class Run>
  void each(const Parallel& parallel, const Run& run) const {
    parallel(samples * per_sample, 1, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        const std::int64_t band = i % per_sample;
        run(i / per_sample, band, rows * band / per_sample, rows * (band + 1) / per_sample);
      }
    });
  }

  std::int64_t samples, rows, per_sample;
};

}  // namespace styleclip
