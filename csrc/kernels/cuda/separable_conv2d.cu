#include <algorithm>

#include "separable_conv2d.h"
#include "vector.cuh"

namespace styleclip::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kMostRows = 16;
constexpr std::int64_t kWantedThreads = 1 << 17;  // about what fills a large GPU
constexpr int kWidth = 4;  // the taps of more channels would not stay in registers

// Every thread goes down one column. A row that it reads meets three rows of the output, whose
// sums are under way in registers.
template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    depthwise_kernel(const T* __restrict__ x, const float* __restrict__ taps, T* __restrict__ out,
                     int rows, Depthwise problem) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  const auto channels = static_cast<int>(problem.channels);
  const auto height = static_cast<int>(problem.height), width = static_cast<int>(problem.width);
  const auto packs = static_cast<unsigned>(channels / V);
  const int column = static_cast<int>(index / packs), channel = static_cast<int>(index % packs) * V;
  if (column >= width) return;
  const std::int64_t n = blockIdx.z, line = std::int64_t{width} * channels;
  x += n * height * line + channel;
  out += n * height * line + std::int64_t{column} * channels + channel;
  taps += (problem.taps_per_image ? n * 9 * channels : 0) + channel;
  Floats<V> tap[9];
#pragma unroll
  for (int t = 0; t < 9; ++t) {
    tap[t] = load_floats<V>(taps + std::int64_t{problem.flip ? 8 - t : t} * channels);
  }
  const int begin = static_cast<int>(blockIdx.y) * rows, end = min(begin + rows, height);
  auto above = filled<V>(0.0f), here = filled<V>(0.0f), below = filled<V>(0.0f);
  for (int row = begin - 1; row <= end; ++row) {
    // Every load is made, of some pixel, so that none waits for a branch.
    const bool inside = row >= 0 && row < height;
    Floats<V> values[3];
#pragma unroll
    for (int t = 0; t < 3; ++t) {
      const int at = min(max(column + t - 1, 0), width - 1);
      values[t] = load<V>(x + (inside ? row : 0) * line + std::int64_t{at} * channels);
    }
#pragma unroll
    for (int t = 0; t < 3; ++t) {
      const int at = column + t - 1;
      const bool seen = inside && at >= 0 && at < width;
#pragma unroll
      for (int k = 0; k < V; ++k) {
        const float value = seen ? values[t][k] : 0.0f;
        above[k] += tap[6 + t][k] * value;
        here[k] += tap[3 + t][k] * value;
        below[k] += tap[t][k] * value;
      }
    }
    if (row > begin) store(out + (row - 1) * line, above);
    above = here;
    here = below;
    below = filled<V>(0.0f);
  }
}

}  // namespace

const char* depthwise3x3(const void* x, const float* taps, void* out, const Depthwise& problem,
                         Stream stream) {
  if (problem.batch * problem.channels * problem.height * problem.width == 0) return nullptr;
  return with_type(problem.dtype, [&]<class T>() {
    const auto run = [&]<int V>(Width<V>) {
      const std::int64_t columns = problem.width * problem.channels / V;
      const auto rows = static_cast<int>(std::clamp<std::int64_t>(
          columns * problem.height * problem.batch / kWantedThreads, 1, kMostRows));
      const dim3 grid(static_cast<unsigned>(divide_up(columns, kThreads)),
                      static_cast<unsigned>(divide_up(problem.height, rows)),
                      static_cast<unsigned>(problem.batch));
      return launch(&depthwise_kernel<T, V>, grid, kThreads, 0, stream, static_cast<const T*>(x),
                    taps, static_cast<T*>(out), rows, problem);
    };
    const bool wide = aligned(x) && aligned(taps) && aligned(out) && problem.channels % kWidth == 0;
    return wide ? run(Width<kWidth>{}) : run(Width<1>{});
  });
}

}  // namespace styleclip::cuda
