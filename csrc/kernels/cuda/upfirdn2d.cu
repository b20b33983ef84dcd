#include <algorithm>

#include "upfirdn2d.h"
#include "vector.cuh"

namespace styleclip::cuda {
namespace {

constexpr int kColumns = 32, kLines = 8;  // threads of a block
constexpr int kTileRows = 16;             // output rows of a block
constexpr std::size_t kSharedBytes = 48 * 1024;
constexpr int kFewTaps = 8;         // that an output meets; more pay for two passes
constexpr float kRounding = 1e-6f;  // of an outer product in float32, relative to its largest

// Both layouts as [planes, height, width, lanes]: a channels-last image is one plane, a contiguous
// one has a plane for each channel.
struct View {
  std::int64_t planes, lanes;
};

// The taps that meet a sample at output position `out`: tap, tap + up, ... on the samples from
// `sample` on.
struct Meeting {
  int tap, sample;
};

__device__ __forceinline__ Meeting meeting(int out, int up, int down, int before) {
  const int base = out * down - before;
  const int rest = base % up;
  const int tap = rest == 0 ? 0 : rest > 0 ? up - rest : -rest;
  return {tap, (base + tap) / up};
}

__device__ __forceinline__ float tap_at(const float* taps, int count, int index, bool flip) {
  return taps[flip ? index : count - 1 - index];
}

template <int V>
__device__ __forceinline__ void add_scaled(Floats<V>& sum, float factor, const Floats<V>& value) {
#pragma unroll
  for (int k = 0; k < V; ++k) sum[k] += factor * value[k];
}

// One row of x filtered across, at the column that `at` describes.
template <class T, int V>
__device__ __forceinline__ Floats<V> across(const T* line, Meeting at, const float* taps,
                                            const Upfirdn2d& problem, std::int64_t lanes) {
  auto sum = filled<V>(0.0f);
  for (int t = at.tap, i = at.sample; t < problem.taps_x && i < problem.width;
       t += problem.up, ++i) {
    if (i < 0) continue;
    add_scaled(sum, tap_at(taps, problem.taps_x, t, problem.flip), load<V>(line + i * lanes));
  }
  return sum;
}

// One output as it is defined; `image` is the plane from the lane on.
template <class T, int V>
__device__ __forceinline__ Floats<V> direct(const T* image, Meeting at_x, Meeting at_y,
                                            const float* kernel, const Upfirdn2d& problem,
                                            std::int64_t lanes) {
  auto sum = filled<V>(0.0f);
  for (int t = at_y.tap, i = at_y.sample; t < problem.taps_y && i < problem.height;
       t += problem.up, ++i) {
    if (i < 0) continue;
    const int tap = problem.flip ? t : problem.taps_y - 1 - t;
    const auto line = across<T, V>(image + i * problem.width * lanes, at_x,
                                   kernel + tap * problem.taps_x, problem, lanes);
    add_scaled(sum, problem.gain, line);
  }
  return sum;
}

template <class T, int V>
__global__ void __launch_bounds__(kColumns* kLines)
    direct_kernel(const T* __restrict__ x, const float* __restrict__ kernel, T* __restrict__ out,
                  View view, Upfirdn2d problem) {
  const auto packs = static_cast<unsigned>(view.lanes / V);
  const unsigned index = blockIdx.x * kColumns + threadIdx.x;
  const int y = static_cast<int>(blockIdx.y * kLines + threadIdx.y);
  if (index >= problem.out_width * packs || y >= problem.out_height) return;
  const std::int64_t lane = std::int64_t{index % packs} * V, column = index / packs;
  const auto at_x = meeting(static_cast<int>(column), problem.up, problem.down, problem.left);
  const auto at_y = meeting(y, problem.up, problem.down, problem.top);
  for (std::int64_t plane = blockIdx.z; plane < view.planes; plane += gridDim.z) {
    const T* image = x + plane * problem.height * problem.width * view.lanes + lane;
    store(out + ((plane * problem.out_height + y) * problem.out_width + column) * view.lanes + lane,
          direct<T, V>(image, at_x, at_y, kernel, problem, view.lanes));
  }
}

// Writes to `factors` whether the kernel is an outer product (1 or 0), then its column and its row.
__global__ void factor_kernel(const float* __restrict__ kernel, int taps_y, int taps_x,
                              float* __restrict__ factors) {
  int pivot = 0;
  for (int i = 1; i < taps_y * taps_x; ++i) {
    if (fabsf(kernel[i]) > fabsf(kernel[pivot])) pivot = i;
  }
  float* column = factors + 1;
  float* row = column + taps_y;
  const float largest = kernel[pivot];
  for (int j = 0; j < taps_x; ++j) row[j] = kernel[pivot / taps_x * taps_x + j];
  for (int i = 0; i < taps_y; ++i) {
    column[i] = largest == 0.0f ? 0.0f : kernel[i * taps_x + pivot % taps_x] / largest;
  }
  bool outer = true;
  for (int i = 0; i < taps_y; ++i) {
    for (int j = 0; j < taps_x; ++j) {
      const float off = kernel[i * taps_x + j] - column[i] * row[j];
      outer = outer && fabsf(off) <= kRounding * fabsf(largest);
    }
  }
  factors[0] = outer ? 1.0f : 0.0f;
}

// Filters the rows that a tile of the output needs across, into shared memory, then down.
template <class T, int V>
__global__ void __launch_bounds__(kColumns* kLines)
    separable_kernel(const T* __restrict__ x, const float* __restrict__ kernel,
                     const float* __restrict__ factors, T* __restrict__ out, View view,
                     Upfirdn2d problem, int tile_rows_in) {
  const bool outer = factors[0] != 0.0f;
  const float* column_taps = factors + 1;
  const float* row_taps = column_taps + problem.taps_y;
  auto filtered = shared_memory<Floats<V>>();
  const auto packs = static_cast<unsigned>(view.lanes / V);
  const unsigned index = blockIdx.x * kColumns + threadIdx.x;
  const bool inside = index < problem.out_width * packs;
  const std::int64_t lane = std::int64_t{index % packs} * V, column = index / packs;
  const auto at_x = meeting(static_cast<int>(column), problem.up, problem.down, problem.left);
  const int y_begin = static_cast<int>(blockIdx.y) * kTileRows;
  const int y_end = min(y_begin + kTileRows, static_cast<int>(problem.out_height));
  const int first = meeting(y_begin, problem.up, problem.down, problem.top).sample;
  for (std::int64_t plane = blockIdx.z; plane < view.planes; plane += gridDim.z) {
    const T* image = x + plane * problem.height * problem.width * view.lanes + lane;
    for (int r = static_cast<int>(threadIdx.y); r < tile_rows_in; r += kLines) {
      const int i = first + r;
      if (!inside || !outer) continue;
      filtered[r * kColumns + threadIdx.x] =
          i >= 0 && i < problem.height ? across<T, V>(image + i * problem.width * view.lanes, at_x,
                                                      row_taps, problem, view.lanes)
                                       : filled<V>(0.0f);
    }
    __syncthreads();
    for (int y = y_begin + static_cast<int>(threadIdx.y); y < y_end; y += kLines) {
      if (!inside) continue;
      const auto at_y = meeting(y, problem.up, problem.down, problem.top);
      auto sum =
          outer ? filled<V>(0.0f) : direct<T, V>(image, at_x, at_y, kernel, problem, view.lanes);
      for (int t = at_y.tap, i = at_y.sample; outer && t < problem.taps_y; t += problem.up, ++i) {
        const float tap = problem.gain * tap_at(column_taps, problem.taps_y, t, problem.flip);
        const Floats<V> value = filtered[(i - first) * kColumns + threadIdx.x];
        add_scaled(sum, tap, value);
      }
      store(
          out + ((plane * problem.out_height + y) * problem.out_width + column) * view.lanes + lane,
          sum);
    }
    __syncthreads();
  }
}

View view_of(const Upfirdn2d& problem) {
  return problem.layout == Layout::kChannelsLast ? View{problem.batch, problem.channels}
                                                 : View{problem.batch * problem.channels, 1};
}

// Calls run.operator()<T, V>(columns of packs, view).
template <class Run>
const char* with_width(const void* x, const void* out, const Upfirdn2d& problem, const Run& run) {
  const View view = view_of(problem);
  if (view.planes * view.lanes * problem.out_height * problem.out_width == 0) return nullptr;
  return with_type(problem.dtype, [&]<class T>() {
    const bool wide = aligned(x) && aligned(out) && view.lanes % kWide<T> == 0;
    const std::int64_t packs = problem.out_width * view.lanes;
    return wide ? run.template operator()<T, kWide<T>>(packs / kWide<T>, view)
                : run.template operator()<T, 1>(packs, view);
  });
}

dim3 grid_of(std::int64_t columns, std::int64_t rows, int rows_a_block, const View& view) {
  return dim3(static_cast<unsigned>(divide_up(columns, kColumns)),
              static_cast<unsigned>(divide_up(rows, rows_a_block)),
              static_cast<unsigned>(std::min<std::int64_t>(view.planes, 65535)));
}

int tile_rows_in(const Upfirdn2d& problem) {
  return ((kTileRows - 1) * problem.down + problem.taps_y - 1) / problem.up + 1;
}

}  // namespace

std::int64_t upfirdn2d_workspace(const Upfirdn2d& problem) {
  const bool few = problem.taps_y * problem.taps_x <= kFewTaps * problem.up * problem.up;
  const std::size_t tile = sizeof(Floats<8>) * kColumns * tile_rows_in(problem);
  return few || tile > kSharedBytes ? 0 : 1 + problem.taps_y + problem.taps_x;
}

const char* upfirdn2d(const void* x, const float* kernel, float* workspace, void* out,
                      const Upfirdn2d& problem, Stream stream) {
  return with_width(x, out, problem, [&]<class T, int V>(std::int64_t columns, const View& view) {
    if (workspace == nullptr) {
      return launch(&direct_kernel<T, V>, grid_of(columns, problem.out_height, kLines, view),
                    dim3(kColumns, kLines), 0, stream, static_cast<const T*>(x), kernel,
                    static_cast<T*>(out), view, problem);
    }
    const char* error =
        launch(&factor_kernel, 1, 1, 0, stream, kernel, problem.taps_y, problem.taps_x, workspace);
    if (error != nullptr) return error;
    const int rows = tile_rows_in(problem);
    return launch(&separable_kernel<T, V>, grid_of(columns, problem.out_height, kTileRows, view),
                  dim3(kColumns, kLines), sizeof(Floats<V>) * kColumns * rows, stream,
                  static_cast<const T*>(x), kernel, static_cast<const float*>(workspace),
                  static_cast<T*>(out), view, problem, rows);
  });
}

}  // namespace styleclip::cuda
