#include "conv2d.h"
#include "vector.cuh"

namespace styleclip::cuda {
namespace {

constexpr unsigned kThreads = 256;

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    prepare_kernel(const T* __restrict__ x, Preparation terms, T* __restrict__ out, Image image) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * V;
  if (i >= image.elements) return;
  const std::int64_t c = i % image.channels;
  auto value = load<V>(x + i);
  const auto scale = load_or<V>(terms.scale, c, 1.0f);
  const auto shift = load_or<V>(terms.shift, c, 0.0f);
  const auto slope = load_or<V>(terms.slope, c, 1.0f);
#pragma unroll
  for (int k = 0; k < V; ++k) {
    const float normed = value[k] * scale[k] + shift[k];
    value[k] = normed > 0 ? normed : normed * slope[k];
  }
  store(out + i, value);
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    prepare_backward_kernel(const T* __restrict__ grad, const T* __restrict__ x, Preparation terms,
                            T* __restrict__ grad_x, Image image) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * V;
  if (i >= image.elements) return;
  const std::int64_t c = i % image.channels;
  auto value = load<V>(grad + i);
  const auto scale = load_or<V>(terms.scale, c, 1.0f);
  if (terms.slope != nullptr) {
    const auto seen = load<V>(x + i);
    const auto shift = load_or<V>(terms.shift, c, 0.0f);
    const auto slope = load_floats<V>(terms.slope + c);
#pragma unroll
    for (int k = 0; k < V; ++k) {
      value[k] *= seen[k] * scale[k] + shift[k] > 0 ? 1.0f : slope[k];
    }
  }
#pragma unroll
  for (int k = 0; k < V; ++k) value[k] *= scale[k];
  store(grad_x + i, value);
}

// Whether packs of `width` channels are aligned and never straddle two pixels.
bool splits(const Preparation& terms, const Image& image, int width) {
  return image.channels % width == 0 && aligned(terms.scale) && aligned(terms.shift) &&
         aligned(terms.slope);
}

}  // namespace

const char* prepare(const void* x, const Preparation& terms, void* out, const Image& image,
                    Stream stream) {
  if (image.elements == 0) return nullptr;
  return with_type(image.dtype, [&]<class T>() {
    const auto run = [&]<int V>(Width<V>) {
      const auto blocks = static_cast<unsigned>(divide_up(image.elements, kThreads * V));
      return launch(&prepare_kernel<T, V>, blocks, kThreads, 0, stream, static_cast<const T*>(x),
                    terms, static_cast<T*>(out), image);
    };
    const bool wide = aligned(x) && aligned(out) && splits(terms, image, kWide<T>);
    return wide ? run(Width<kWide<T>>{}) : run(Width<1>{});
  });
}

const char* prepare_backward(const void* grad, const void* x, const Preparation& terms,
                             void* grad_x, const Image& image, Stream stream) {
  if (image.elements == 0) return nullptr;
  return with_type(image.dtype, [&]<class T>() {
    const auto run = [&]<int V>(Width<V>) {
      const auto blocks = static_cast<unsigned>(divide_up(image.elements, kThreads * V));
      return launch(&prepare_backward_kernel<T, V>, blocks, kThreads, 0, stream,
                    static_cast<const T*>(grad), static_cast<const T*>(x), terms,
                    static_cast<T*>(grad_x), image);
    };
    const bool wide =
        aligned(grad) && aligned(x) && aligned(grad_x) && splits(terms, image, kWide<T>);
    return wide ? run(Width<kWide<T>>{}) : run(Width<1>{});
  });
}

}  // namespace styleclip::cuda
