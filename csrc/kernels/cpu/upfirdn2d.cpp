// Compiled once for each instruction set; see isa.h. Mostly loops that the compiler vectorises.
#include "upfirdn2d.h"

#include "scratch.h"
#include "simd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

// The taps of a filter that one output sees along an axis: tap `first + j * up` meets the input
// `input + j`, for j in [begin, end).
struct Reach {
  STYLECLIP_INLINE Reach of(std::int64_t output, std::int64_t up, std::int64_t down,
                            std::int64_t before, std::int64_t taps, std::int64_t inputs) {
    const std::int64_t at = output * down - before;
    const std::int64_t first = ((-at) % up + up) % up;
    const std::int64_t input = (at + first) / up;
    const std::int64_t count = first < taps ? (taps - first + up - 1) / up : 0;
    const std::int64_t begin = input < 0 ? -input : 0, most = inputs - input;
    const std::int64_t end = count < most ? count : most;
    // No tap: no place far from the arrays is pointed at.
    return begin < end ? Reach{first, input, begin, end} : Reach{first, input, 0, 0};
  }
  std::int64_t first, input, begin, end;
};

// A kernel that is a column times a row: both, or none.
template <class C>
struct Separated {
  static constexpr std::int64_t kMost = 32;
  C column[kMost], row[kMost];
  bool found = false;

  Separated(const C* kernel, std::int64_t rows, std::int64_t columns) {
    if (rows > kMost || columns > kMost || rows * columns < 2) return;
    std::int64_t peak = 0;
    const auto size = [](C x) { return x < 0 ? -x : x; };
    for (std::int64_t i = 1; i < rows * columns; ++i) {
      if (size(kernel[i]) > size(kernel[peak])) peak = i;
    }
    if (kernel[peak] == 0) return;
    for (std::int64_t i = 0; i < rows; ++i) column[i] = kernel[i * columns + peak % columns];
    for (std::int64_t j = 0; j < columns; ++j) {
      row[j] = kernel[peak / columns * columns + j] / kernel[peak];
    }
    const C most = size(kernel[peak]) * (sizeof(C) == 8 ? C(1e-15) : C(1e-7));
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      if (size(kernel[i] - column[i / columns] * row[i % columns]) > most) return;
    }
    found = true;
  }
};

// The sum of weight[j * stride] * read(j), unrolled for the usual filter of four taps.
template <class C, class Read>
STYLECLIP_INLINE Vec<C> weighted(const C* weight, std::int64_t stride, std::int64_t count,
                                 const Read& read) {
  if (count == 4) {
    return (weight[0] * read(0) + weight[stride] * read(1)) +
           (weight[2 * stride] * read(2) + weight[3 * stride] * read(3));
  }
  Vec<C> sum{};
  for (std::int64_t j = 0; j < count; ++j) sum += weight[j * stride] * read(j);
  return sum;
}

// Output rows [begin, end) of channels-last images, across first, then down, each input row once.
template <class S>
void upfirdn2d_separated(const Upfirdn2d<S>& a, const Separated<ComputeOf<S>>& taps, const S* x,
                         S* y, std::int64_t begin, std::int64_t end) {
  using C = ComputeOf<S>;
  constexpr int L = lanes<C>;
  const std::int64_t vectors = (a.channels + L - 1) / L;
  const std::int64_t row_bytes = a.out_width * vectors * 64;
  const std::int64_t capacity = (a.rows + a.up - 1) / a.up;
  Layout layout;
  const std::size_t reach_at = layout.add(a.out_width * sizeof(Reach));
  const std::size_t rows_at = layout.add(row_bytes * capacity);
  char* memory = thread_scratch(layout.size());
  Reach* reach = reinterpret_cast<Reach*>(memory + reach_at);
  for (std::int64_t ox = 0; ox < a.out_width; ++ox) {
    reach[ox] = Reach::of(ox, a.up, a.down, a.left, a.columns, a.width);
  }
  const auto filtered = [&](std::int64_t iy) {
    return reinterpret_cast<C*>(memory + rows_at + iy % capacity * row_bytes);
  };
  std::int64_t plane = -1, next = 0;
  for (std::int64_t row = begin; row < end; ++row) {
    if (row / a.out_height != plane) {
      plane = row / a.out_height;
      next = 0;
    }
    const S* image = x + plane * a.height * a.width * a.channels;
    const Reach down = Reach::of(row % a.out_height, a.up, a.down, a.top, a.rows, a.height);
    if (next < down.input + down.begin) next = down.input + down.begin;
    for (; next < down.input + down.end; ++next) {
      C* to = filtered(next);
      for (std::int64_t ox = 0; ox < a.out_width; ++ox) {
        const Reach& across = reach[ox];
        const std::int64_t count = across.end - across.begin;
        const C* weight = taps.row + across.first + across.begin * a.up;
        const std::int64_t pixel = next * a.width + across.input + across.begin;
        for (std::int64_t v = 0; v < vectors; ++v, to += L) {
          const std::int64_t left = a.channels - v * L;
          const S* from = image + pixel * a.channels + v * L;
          store(to, weighted(weight, a.up, count, [&](std::int64_t j) {
                  return load_some(from + j * a.channels, left);
                }));
        }
      }
    }
    const C* from[Separated<C>::kMost];
    C weight[Separated<C>::kMost];
    const std::int64_t count = down.end - down.begin;
    for (std::int64_t j = 0; j < count; ++j) {
      from[j] = filtered(down.input + down.begin + j);
      weight[j] = taps.column[down.first + (down.begin + j) * a.up];
    }
    S* to = y + row * a.out_width * a.channels;
    for (std::int64_t ox = 0, at = 0; ox < a.out_width; ++ox, to += a.channels) {
      for (std::int64_t v = 0; v < vectors; ++v, at += L) {
        const Vec<C> sum =
            weighted(weight, 1, count, [&](std::int64_t j) { return load(from[j] + at); });
        store_some(to + v * L, sum, a.channels - v * L);
      }
    }
  }
}

template <class S>
void upfirdn2d(const Upfirdn2d<S>& a, const S* x, S* y, ComputeOf<S>* space, std::int64_t begin,
               std::int64_t end) {
  using C = ComputeOf<S>;
  if (a.height == 0 || a.width == 0) {
    const std::int64_t row = a.out_width * (a.channels_last ? a.channels : 1);
    std::memset(y + begin * row, 0, (end - begin) * row * sizeof(S));
    return;
  }
  if (a.channels_last) {
    const Separated<C> taps(a.kernel, a.rows, a.columns);
    if (taps.found) return upfirdn2d_separated(a, taps, x, y, begin, end);
  }
  const std::int64_t length = a.channels_last ? a.channels : 1;
  const auto source = [&](std::int64_t at, std::int64_t size) -> std::int64_t {
    if (at < 0 || at % a.up != 0) return -1;
    return at / a.up < size ? at / a.up : -1;
  };
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t plane = row / a.out_height, oy = row % a.out_height;
    const S* image = x + plane * a.height * a.width * length;
    S* to = y + row * a.out_width * length;
    if (a.channels_last) {
      C* __restrict sum = space;
      for (std::int64_t ox = 0; ox < a.out_width; ++ox, to += length) {
        for (std::int64_t c = 0; c < length; ++c) sum[c] = 0;
        for (std::int64_t ky = 0; ky < a.rows; ++ky) {
          const std::int64_t iy = source(oy * a.down + ky - a.top, a.height);
          if (iy < 0) continue;
          for (std::int64_t kx = 0; kx < a.columns; ++kx) {
            const std::int64_t ix = source(ox * a.down + kx - a.left, a.width);
            if (ix < 0) continue;
            const C tap = a.kernel[ky * a.columns + kx];
            const S* from = image + (iy * a.width + ix) * length;
            for (std::int64_t c = 0; c < length; ++c) sum[c] += tap * get(from[c]);
          }
        }
        for (std::int64_t c = 0; c < length; ++c) put(to[c], sum[c]);
      }
      continue;
    }
    // Outputs `up` apart read neighbours `down` apart, so each phase is a plain run.
    for (std::int64_t phase = 0; phase < a.up && phase < a.out_width; ++phase) {
      const std::int64_t count = (a.out_width - phase + a.up - 1) / a.up;
      C* __restrict sum = space;
      for (std::int64_t i = 0; i < count; ++i) sum[i] = 0;
      for (std::int64_t ky = 0; ky < a.rows; ++ky) {
        const std::int64_t iy = source(oy * a.down + ky - a.top, a.height);
        if (iy < 0) continue;
        for (std::int64_t kx = 0; kx < a.columns; ++kx) {
          const std::int64_t at = phase * a.down + kx - a.left;
          const std::int64_t whole = (at % a.up + a.up) % a.up;
          if (whole != 0) continue;
          const std::int64_t offset = at / a.up;
          // 0 <= offset + i * down < width
          std::int64_t first = offset < 0 ? (-offset + a.down - 1) / a.down : 0;
          std::int64_t last = offset >= a.width ? 0 : (a.width - 1 - offset) / a.down + 1;
          if (last > count) last = count;
          const C tap = a.kernel[ky * a.columns + kx];
          const S* from = image + iy * a.width + offset;
          if (a.down == 1) {
            for (std::int64_t i = first; i < last; ++i) sum[i] += tap * get(from[i]);
          } else {
            for (std::int64_t i = first; i < last; ++i) sum[i] += tap * get(from[i * a.down]);
          }
        }
      }
      for (std::int64_t i = 0; i < count; ++i) put(to[phase + i * a.up], sum[i]);
    }
  }
}

}  // namespace

template <class S>
const Upfirdn2dKernels<S>& upfirdn2d_kernels() {
  static constexpr Upfirdn2dKernels<S> table{upfirdn2d<S>};
  return table;
}
STYLECLIP_INSTANTIATE(Upfirdn2dKernels, upfirdn2d_kernels)

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
