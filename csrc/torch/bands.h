// How the convolutions' rows are parted among threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>

namespace styleclip {

// Each sample's rows are cut into `per_sample` bands; a band is one thread's work, because its
// first rows cost extra.
class Bands {
 public:
  Bands(int64_t samples, int64_t rows) : samples_(samples), rows_(rows) {
    const int64_t threads = at::get_num_threads();
    per_sample_ = samples % threads == 0 ? 1 : std::max<int64_t>(1, std::min(threads, rows));
  }

  int64_t per_sample() const { return per_sample_; }

  // run(sample, band, first row, last row)
  template <class Run>
  void each(const Run& run) const {
    at::parallel_for(0, samples_ * per_sample_, 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        const int64_t band = i % per_sample_;
        run(i / per_sample_, band, rows_ * band / per_sample_, rows_ * (band + 1) / per_sample_);
      }
    });
  }

 private:
  int64_t samples_, rows_, per_sample_;
};

}  // namespace styleclip
