// 3x3 and 1x1 convolutions multiplied out as they are defined.
#pragma once

#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// One band of rows; `layout` gets room for what it works on.
template <class S>
class Direct {
 public:
  using C = ComputeOf<S>;

  Direct(Layout& layout, const Sizes<S>& in, const Sizes<S>& /*out*/, int kernel,
         std::int64_t width, std::int64_t rows)
      : kernel_(kernel),
        group_(rows_at_once(width, rows)),
        pixels_(width + kernel - 1),
        row_bytes_(in.blocks * pixels_ * 64),
        rows_at_(layout.add(row_bytes_ * (group_ + kernel - 1))) {}

  // The output rows [begin, end) of `height`. `prepare(row, put)` hands on an input row, pixel by
  // pixel, as put(pixel, vector, value); `take(output block, row, first pixel, pixels, result)`
  // gets each piece of the result as [pixel][out_block].
  template <class Prepare, class Take>
  void run(char* memory, const Sizes<S>& in, const Sizes<S>& out, const char* weight,
           std::int64_t height, std::int64_t width, std::int64_t begin, std::int64_t end,
           const Prepare& prepare, const Take& take) const {
    constexpr int OB = out_block<S>;
    const int border = kernel_ / 2, tap_count = kernel_ * kernel_;
    const Ring rows{memory + rows_at_, row_bytes_, group_ + 2 * border};
    std::memset(rows.memory, 0, row_bytes_ * (group_ + 2 * border));  // the borders stay zero
    const Tiling tiling(width);
    const std::int64_t tap_bytes = 64 * steps<S> * kVectors;
    Taps<S> taps;
    taps.count = tap_count;
    taps.blocks = in.blocks;
    taps.x_stride = pixels_ * 64;
    taps.weight_stride = tap_count * tap_bytes;
    C sums[kMaxPixels * OB];
    std::int64_t prepared = begin - border;
    for (std::int64_t first = begin; first < end; first += group_) {
      const std::int64_t last = first + group_ < end ? first + group_ : end;
      for (; prepared < last + border; ++prepared) {
        char* row = rows[prepared];
        if (prepared < 0 || prepared >= height) {
          std::memset(row, 0, row_bytes_);
          continue;
        }
        prepare(prepared, [&](std::int64_t px, std::int64_t v, Vec<C> value) {
          store_blocked<S>(row, pixels_, px + border, v, value);
        });
      }
      for (std::int64_t ob = 0; ob < out.out_blocks; ++ob) {
        const char* block = weight + ob * in.blocks * taps.weight_stride;
        for (std::int64_t row = first; row < last; ++row) {
          for (std::int64_t i = 0; i < tiling.count; ++i) {
            const std::int64_t px = tiling.begin(i);
            for (int t = 0; t < tap_count; ++t) {
              taps.x[t] = rows[row + t / kernel_ - border] + (px + t % kernel_) * 64;
              taps.weight[t] = block + t * tap_bytes;
            }
            run_tile<S>(tiling.pixels(i), taps, sums, OB);
            take(ob, row, px, tiling.pixels(i), sums);
          }
        }
      }
    }
  }

 private:
  int kernel_;
  std::int64_t group_, pixels_, row_bytes_;
  std::size_t rows_at_;
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
