// 3x3 and 1x1 convolutions multiplied out as they are defined.
#pragma once

#include "rows.h"
#include "scratch.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// `layout` gets room for what it works on.
template <class S>
class Direct {
 public:
  using C = ComputeOf<S>;

  Direct(Layout& layout, const Band<S>& band)
      : band_(band),
        group_(rows_at_once(band.width, band.end - band.begin)),
        pixels_(band.width + band.kernel - 1),
        row_bytes_(band.in.blocks * pixels_ * 64),
        rows_at_(layout.add(row_bytes_ * (group_ + band.kernel - 1))) {}

  // The band's rows. `prepare(row, put)` hands on an input row, pixel by pixel, as
  // put(pixel, vector, value); `take(output block, row, first pixel, pixels, result)` gets each
  // piece of the result as [pixel][out_block].
  template <class Prepare, class Take>
  void run(char* memory, const Prepare& prepare, const Take& take) const {
    constexpr int OB = out_block<S>;
    const Band<S>& band = band_;
    const int border = band.kernel / 2, tap_count = band.kernel * band.kernel;
    const Ring rows{memory + rows_at_, row_bytes_, group_ + 2 * border};
    std::memset(rows.memory, 0, row_bytes_ * (group_ + 2 * border));  // the borders stay zero
    const Tiling tiling(band.width);
    const std::int64_t tap_bytes = 64 * steps<S> * kVectors;
    Taps<S> taps;
    taps.count = tap_count;
    taps.blocks = band.in.blocks;
    taps.x_stride = pixels_ * 64;
    taps.weight_stride = tap_count * tap_bytes;
    C sums[kMaxPixels * OB];
    std::int64_t prepared = band.begin - border;
    for (std::int64_t first = band.begin; first < band.end; first += group_) {
      const std::int64_t last = first + group_ < band.end ? first + group_ : band.end;
      for (; prepared < last + border; ++prepared) {
        char* row = rows[prepared];
        if (prepared < 0 || prepared >= band.height) {
          std::memset(row, 0, row_bytes_);
          continue;
        }
        prepare(prepared, [&](std::int64_t px, std::int64_t v, Vec<C> value) {
          store_blocked<S>(row, pixels_, px + border, v, value);
        });
      }
      for (std::int64_t ob = 0; ob < band.out.out_blocks; ++ob) {
        const char* block = band.weight + ob * band.in.blocks * taps.weight_stride;
        for (std::int64_t row = first; row < last; ++row) {
          for (std::int64_t i = 0; i < tiling.count; ++i) {
            const std::int64_t px = tiling.begin(i);
            for (int t = 0; t < tap_count; ++t) {
              taps.x[t] = rows[row + t / band.kernel - border] + (px + t % band.kernel) * 64;
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
  Band<S> band_;
  std::int64_t group_, pixels_, row_bytes_;
  std::size_t rows_at_;
};

}  // namespace
}  // namespace STYLECLIP_ISA
}  // namespace styleclip
