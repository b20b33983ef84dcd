#include "idwt2d.h"
#include "vector.cuh"

namespace styleclip::cuda {
namespace {

constexpr unsigned kThreads = 256;

// Where V channels of one wavelet pixel lie.
struct Place {
  std::int64_t image, channel;
  std::int64_t low, detail;         // in the wavelets: of the first channel
  std::int64_t top, bottom, right;  // in the image: left pixels, and the way to the right ones
};

template <int V>
__device__ __forceinline__ Place place(std::int64_t index, const Haar& problem) {
  const std::int64_t packs = problem.channels / V;
  const std::int64_t c = index % packs * V, pixel = index / packs;
  const std::int64_t x = pixel % problem.width, row = pixel / problem.width;
  Place place;
  place.image = row / problem.height;
  place.channel = c;
  place.low = pixel * 4 * problem.channels + c;
  place.detail = pixel * 4 * problem.channels + problem.channels + 3 * c;
  place.top = (2 * row * 2 * problem.width + 2 * x) * problem.channels + c;
  place.bottom = place.top + 2 * problem.width * problem.channels;
  place.right = problem.channels;
  return place;
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    idwt2d_kernel(const T* __restrict__ wavelets, const float* __restrict__ scale,
                  T* __restrict__ image, std::int64_t count, Haar problem) {
  const std::int64_t index = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= count) return;
  const Place at = place<V>(index, problem);
  auto low = load<V>(wavelets + at.low);
  float details[3 * V];
#pragma unroll
  for (int j = 0; j < 3; ++j) {
    const auto part = load<V>(wavelets + at.detail + j * V);
#pragma unroll
    for (int k = 0; k < V; ++k) details[j * V + k] = part[k];
  }
  if (scale != nullptr) {
    const std::int64_t low_scale = at.image * 4 * problem.channels + at.channel;
    const std::int64_t detail_scale = low_scale + problem.channels + 2 * at.channel;
#pragma unroll
    for (int k = 0; k < V; ++k) low[k] *= scale[low_scale + k];
#pragma unroll
    for (int k = 0; k < 3 * V; ++k) details[k] *= scale[detail_scale + k];
  }
  Floats<V> top_left, top_right, bottom_left, bottom_right;
#pragma unroll
  for (int k = 0; k < V; ++k) {
    const float vertical = details[3 * k], horizontal = details[3 * k + 1],
                diagonal = details[3 * k + 2];
    const float top = low[k] + vertical, bottom = low[k] - vertical;
    const float top_detail = horizontal + diagonal, bottom_detail = horizontal - diagonal;
    top_left[k] = 0.5f * (top + top_detail);
    top_right[k] = 0.5f * (top - top_detail);
    bottom_left[k] = 0.5f * (bottom + bottom_detail);
    bottom_right[k] = 0.5f * (bottom - bottom_detail);
  }
  store(image + at.top, top_left);
  store(image + at.top + at.right, top_right);
  store(image + at.bottom, bottom_left);
  store(image + at.bottom + at.right, bottom_right);
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    dwt2d_kernel(const T* __restrict__ image, T* __restrict__ wavelets, std::int64_t count,
                 Haar problem) {
  const std::int64_t index = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= count) return;
  const Place at = place<V>(index, problem);
  const auto top_left = load<V>(image + at.top);
  const auto top_right = load<V>(image + at.top + at.right);
  const auto bottom_left = load<V>(image + at.bottom);
  const auto bottom_right = load<V>(image + at.bottom + at.right);
  Floats<V> low;
  float details[3 * V];
#pragma unroll
  for (int k = 0; k < V; ++k) {
    const float top = top_left[k] + top_right[k], bottom = bottom_left[k] + bottom_right[k];
    const float top_step = top_left[k] - top_right[k];
    const float bottom_step = bottom_left[k] - bottom_right[k];
    low[k] = 0.5f * (top + bottom);
    details[3 * k] = 0.5f * (top - bottom);
    details[3 * k + 1] = 0.5f * (top_step + bottom_step);
    details[3 * k + 2] = 0.5f * (top_step - bottom_step);
  }
  store(wavelets + at.low, low);
#pragma unroll
  for (int j = 0; j < 3; ++j) {
    Floats<V> part;
#pragma unroll
    for (int k = 0; k < V; ++k) part[k] = details[j * V + k];
    store(wavelets + at.detail + j * V, part);
  }
}

template <class Run>
const char* with_width(const void* a, const void* b, const Haar& problem, const Run& run) {
  const std::int64_t elements = problem.batch * problem.channels * problem.height * problem.width;
  if (elements == 0) return nullptr;
  return with_type(problem.dtype, [&]<class T>() {
    const bool wide = aligned(a) && aligned(b) && problem.channels % kWide<T> == 0;
    const std::int64_t count = wide ? elements / kWide<T> : elements;
    const auto blocks = static_cast<unsigned>(divide_up(count, kThreads));
    return wide ? run.template operator()<T, kWide<T>>(blocks, count)
                : run.template operator()<T, 1>(blocks, count);
  });
}

}  // namespace

const char* idwt2d(const void* wavelets, const float* scale, void* image, const Haar& problem,
                   Stream stream) {
  return with_width(wavelets, image, problem, [&]<class T, int V>(unsigned blocks, auto count) {
    return launch(&idwt2d_kernel<T, V>, blocks, kThreads, 0, stream,
                  static_cast<const T*>(wavelets), scale, static_cast<T*>(image), count, problem);
  });
}

const char* dwt2d(const void* image, void* wavelets, const Haar& problem, Stream stream) {
  return with_width(image, wavelets, problem, [&]<class T, int V>(unsigned blocks, auto count) {
    return launch(&dwt2d_kernel<T, V>, blocks, kThreads, 0, stream, static_cast<const T*>(image),
                  static_cast<T*>(wavelets), count, problem);
  });
}

}  // namespace styleclip::cuda
