#include <algorithm>

#include "modulated_conv2d.h"
#include "vector.cuh"

namespace styleclip::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kPixels = 4;                        // pixels of a thread in the forward pass
constexpr int kMostSteps = 32;                    // pixels of a thread in a pass that sums
constexpr int kMostRows = 16;                     // rows of a thread that filters
constexpr std::int64_t kWantedThreads = 1 << 17;  // about what fills a large GPU
constexpr int kSums = 3;
constexpr int kSumRows = 16;
// Twice [1, 3, 3, 1] / 8: upsampling by zeros halves the brightness along each axis.
constexpr float kOuterTap = 0.25f, kInnerTap = 0.75f;

// Threads on one pixel: neighbours in a warp, each with every `lanes`-th pack of channels.
unsigned lanes_of(std::int64_t packs) {
  unsigned lanes = 1;
  while (lanes < kWarp && lanes * 2 <= packs) lanes *= 2;
  return lanes;
}

struct Activation {
  float slope, gain, clamp;
};

__device__ __forceinline__ float activate(float value, const Activation& by) {
  return clamped(value * (value > 0 ? by.gain : by.gain * by.slope), by.clamp);
}

__device__ __forceinline__ float noise_at(const LayerTerms& terms, std::int64_t pixel) {
  if (terms.noise == nullptr) return 0.0f;
  return terms.noise[pixel] * (terms.noise_strength == nullptr ? 1.0f : *terms.noise_strength);
}

template <class T, int V, bool kRgb>
__global__ void __launch_bounds__(kThreads)
    activate_kernel(const T* __restrict__ c, LayerTerms terms, ToRgb to_rgb, T* __restrict__ y,
                    float* __restrict__ rgb, int pixels, int channels, unsigned lanes,
                    std::int64_t noise_stride, Activation activation) {
  const unsigned lane = threadIdx.x % lanes, groups = kThreads / lanes;
  const std::int64_t n = blockIdx.y;
  const int first = static_cast<int>(blockIdx.x * groups * kPixels + threadIdx.x / lanes);
  c += n * pixels * channels;
  y += n * pixels * channels;
  float noise[kPixels], image[kPixels][3] = {};
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    const int pixel = first + p * static_cast<int>(groups);
    noise[p] = pixel < pixels ? noise_at(terms, n * noise_stride + pixel) : 0.0f;
  }
  for (int channel = static_cast<int>(lane) * V; channel < channels;
       channel += static_cast<int>(lanes) * V) {
    const auto factor = load_or<V>(terms.factor, n * channels + channel, 1.0f);
    const auto bias = load_or<V>(terms.bias, channel, 0.0f);
    Floats<V> mix[3];
    if (kRgb) {
      const auto style = load_floats<V>(to_rgb.style + n * channels + channel);
#pragma unroll
      for (int j = 0; j < 3; ++j) {
        mix[j] = load_floats<V>(to_rgb.weight + j * channels + channel);
#pragma unroll
        for (int k = 0; k < V; ++k) mix[j][k] *= style[k];
      }
    }
    // Every load is made, of some pixel, so that none waits for a branch.
    Floats<V> values[kPixels];
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      const std::int64_t pixel = min(first + p * static_cast<int>(groups), pixels - 1);
      values[p] = load<V>(c + pixel * channels + channel);
    }
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      const std::int64_t pixel = first + p * static_cast<int>(groups);
      if (pixel >= pixels) break;
      auto& value = values[p];
#pragma unroll
      for (int k = 0; k < V; ++k) {
        value[k] = activate(value[k] * factor[k] + (noise[p] + bias[k]), activation);
        if (kRgb) {
#pragma unroll
          for (int j = 0; j < 3; ++j) image[p][j] += mix[j][k] * value[k];
        }
      }
      store(y + pixel * channels + channel, value);
    }
  }
  if constexpr (kRgb) {
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      const int pixel = first + p * static_cast<int>(groups);
#pragma unroll
      for (int j = 0; j < 3; ++j) {
        float sum = image[p][j];
        for (unsigned step = lanes / 2; step > 0; step /= 2) {
          sum += __shfl_xor_sync(kAllLanes, sum, static_cast<int>(step));
        }
        if (lane == 0 && pixel < pixels) rgb[(n * 3 + j) * pixels + pixel] = sum;
      }
    }
  }
}

// Where the four pixels that a column of the output sees lie in a row of the input.
struct Window {
  int at[4];
  bool inside[4];
};

__device__ __forceinline__ Window window_of(int x, int width, int channels) {
  Window window;
#pragma unroll
  for (int t = 0; t < 4; ++t) {
    const int column = x + t;
    window.inside[t] = column >= 0 && column < width;
    window.at[t] = min(max(column, 0), width - 1) * channels;
  }
  return window;
}

// One row of the input filtered across. Every load is made, of some pixel, so that none waits for a
// branch.
template <class T, int V>
__device__ __forceinline__ Floats<V> filtered_across(const T* line, const Window& window,
                                                     bool inside) {
  Floats<V> values[4];
#pragma unroll
  for (int t = 0; t < 4; ++t) values[t] = load<V>(line + window.at[t]);
  Floats<V> sum;
#pragma unroll
  for (int k = 0; k < V; ++k) {
    float parts[4];
#pragma unroll
    for (int t = 0; t < 4; ++t) parts[t] = inside && window.inside[t] ? values[t][k] : 0.0f;
    sum[k] = kOuterTap * (parts[0] + parts[3]) + kInnerTap * (parts[1] + parts[2]);
  }
  return sum;
}

// Every thread filters a strip down one column, three rows of it in registers. The window of an
// output starts `before` rows and columns before it.
template <class T, int V, bool kActivate>
__global__ void __launch_bounds__(kThreads, 3)
    filter_kernel(const T* __restrict__ in, LayerTerms terms, T* __restrict__ out, int in_height,
                  int in_width, int out_height, int out_width, int before, int channels, int rows,
                  std::int64_t noise_stride, Activation activation) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  const auto packs = static_cast<unsigned>(channels / V);
  const int x = static_cast<int>(index / packs), channel = static_cast<int>(index % packs) * V;
  if (x >= out_width) return;
  const std::int64_t n = blockIdx.z;
  in += n * in_height * in_width * channels + channel;
  out += n * out_height * out_width * channels + channel;
  Floats<V> factor, bias;
  if (kActivate) {
    factor = load_or<V>(terms.factor, n * channels + channel, 1.0f);
    bias = load_or<V>(terms.bias, channel, 0.0f);
  }
  const int begin = static_cast<int>(blockIdx.y) * rows, end = min(begin + rows, out_height);
  const Window window = window_of(x - before, in_width, channels);
  const auto across = [&](int row) {
    const bool inside = row >= 0 && row < in_height;
    const T* line = in + std::int64_t{inside ? row : 0} * in_width * channels;
    return filtered_across<T, V>(line, window, inside);
  };
  auto a = across(begin - before), b = across(begin - before + 1), c = across(begin - before + 2);
  for (int y = begin; y < end; ++y) {
    const auto d = across(y - before + 3);
    const std::int64_t pixel = std::int64_t{y} * out_width + x;
    const float noise = kActivate ? noise_at(terms, n * noise_stride + pixel) : 0.0f;
    Floats<V> value;
#pragma unroll
    for (int k = 0; k < V; ++k) {
      value[k] = kOuterTap * (a[k] + d[k]) + kInnerTap * (b[k] + c[k]);
      if (kActivate) {
        value[k] = activate(value[k] * factor[k] + (noise + bias[k]), activation);
      }
    }
    store(out + pixel * channels, value);
    a = b;
    b = c;
    c = d;
  }
}

// Adds up what the block's threads hold of each channel. Thread `threadIdx.x` holds the V channels
// of pack threadIdx.x % lanes; the sums of the first `count` channels go to `to`.
template <int V>
__device__ __forceinline__ void block_sums(const Floats<V>& mine, unsigned lanes, int count,
                                           float* to) {
  auto shared = shared_memory<float>();
  const unsigned width = lanes * V, groups = kThreads / lanes;
  const unsigned at = threadIdx.x / lanes * width + threadIdx.x % lanes * V;
#pragma unroll
  for (int k = 0; k < V; ++k) shared[at + k] = mine[k];
  __syncthreads();
  for (unsigned i = threadIdx.x; i < width && static_cast<int>(i) < count; i += kThreads) {
    float sum = 0.0f;
    for (unsigned group = 0; group < groups; ++group) sum += shared[group * width + i];
    to[i] = sum;
  }
  __syncthreads();
}

// How a pass that sums over pixels is cut: block (x, y, n) takes `steps` * groups pixels of image
// n and lanes * V channels, and leaves its sums at partial[x, n, channel].
struct Cut {
  unsigned lanes, chunks, channel_blocks;
  int steps;
};

Cut cut_of(const Layer& layer, int width) {
  const std::int64_t packs = layer.channels / width, pixels = layer.height * layer.width;
  Cut cut;
  cut.lanes = lanes_of(packs);
  cut.channel_blocks = static_cast<unsigned>(divide_up(packs, cut.lanes));
  const std::int64_t groups = kThreads / cut.lanes;
  const std::int64_t threads = pixels * packs * layer.batch;
  cut.steps = static_cast<int>(std::clamp<std::int64_t>(threads / kWantedThreads, 1, kMostSteps));
  cut.chunks = static_cast<unsigned>(divide_up(pixels, groups * cut.steps));
  return cut;
}

// Pixels of a thread that begins at `first`: a count, not a way out of the loop, so that loads of
// several pixels can be under way at once.
__device__ __forceinline__ int steps_of(int first, int pixels, const Cut& cut, unsigned groups) {
  const int left = pixels - first, stride = static_cast<int>(groups);
  return left <= 0 ? 0 : min(cut.steps, (left + stride - 1) / stride);
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    activate_backward_kernel(const T* __restrict__ grad_y, const float* __restrict__ grad_rgb,
                             const T* __restrict__ y, LayerTerms terms, ToRgb to_rgb,
                             T* __restrict__ grad_c, LayerSums partial, int pixels, int channels,
                             Cut cut, std::int64_t noise_stride, Activation activation) {
  const unsigned lane = threadIdx.x % cut.lanes, groups = kThreads / cut.lanes;
  const int block_channel = static_cast<int>(blockIdx.y * cut.lanes) * V;
  const int channel = block_channel + static_cast<int>(lane) * V;
  const std::int64_t n = blockIdx.z, image = n * pixels * channels;
  auto factor_sum = filled<V>(0.0f), noise_sum = filled<V>(0.0f), style_sum = filled<V>(0.0f);
  if (channel < channels) {
    const auto factor = load_or<V>(terms.factor, n * channels + channel, 1.0f);
    const auto bias = load_or<V>(terms.bias, channel, 0.0f);
    Floats<V> weight[3], style;
    if (grad_rgb != nullptr) {
      style = load_floats<V>(to_rgb.style + n * channels + channel);
#pragma unroll
      for (int j = 0; j < 3; ++j)
        weight[j] = load_floats<V>(to_rgb.weight + j * channels + channel);
    }
    const float limit = rounded<T>(activation.clamp);
    const float up = 1.0f / activation.gain, down = up / activation.slope;
    const int first = static_cast<int>(blockIdx.x * cut.steps * groups + threadIdx.x / cut.lanes);
    const int steps = steps_of(first, pixels, cut, groups);
#pragma unroll 2
    for (int step = 0; step < steps; ++step) {
      const std::int64_t pixel = first + step * static_cast<int>(groups);
      const std::int64_t at = image + pixel * channels + channel;
      const auto result = load<V>(y + at);
      auto grad = grad_y == nullptr ? filled<V>(0.0f) : load<V>(grad_y + at);
      if (grad_rgb != nullptr) {
        float color[3];
#pragma unroll
        for (int j = 0; j < 3; ++j) color[j] = grad_rgb[(n * 3 + j) * pixels + pixel];
#pragma unroll
        for (int k = 0; k < V; ++k) {
          const float mixed =
              color[0] * weight[0][k] + color[1] * weight[1][k] + color[2] * weight[2][k];
          grad[k] += mixed * style[k];
          style_sum[k] += mixed * result[k];
        }
      }
      const float noise = noise_at(terms, n * noise_stride + pixel);
      const float plain_noise =
          terms.noise == nullptr ? 0.0f : terms.noise[n * noise_stride + pixel];
#pragma unroll
      for (int k = 0; k < V; ++k) {
        const bool positive = result[k] > 0, free = fabsf(result[k]) < limit;
        const float slope = positive ? activation.gain : activation.gain * activation.slope;
        grad[k] *= free ? slope : 0.0f;
        // factor * c, read back from y.
        const float scaled = result[k] * (positive ? up : down) - (noise + bias[k]);
        factor_sum[k] += free ? grad[k] * scaled : 0.0f;
        noise_sum[k] += grad[k] * plain_noise;
        grad[k] *= factor[k];
      }
      store(grad_c + at, grad);
    }
  }
  const std::int64_t to = (std::int64_t{blockIdx.x} * gridDim.z + n) * channels + block_channel;
  const int count = channels - block_channel;
  if (partial.factor != nullptr) block_sums<V>(factor_sum, cut.lanes, count, partial.factor + to);
  if (partial.noise != nullptr) block_sums<V>(noise_sum, cut.lanes, count, partial.noise + to);
  if (partial.rgb_style != nullptr) {
    block_sums<V>(style_sum, cut.lanes, count, partial.rgb_style + to);
  }
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    modulate_backward_kernel(const T* __restrict__ grad, const T* __restrict__ x,
                             const float* __restrict__ style, T* __restrict__ grad_x,
                             float* __restrict__ partial, int pixels, int channels, Cut cut) {
  const unsigned lane = threadIdx.x % cut.lanes, groups = kThreads / cut.lanes;
  const int block_channel = static_cast<int>(blockIdx.y * cut.lanes) * V;
  const int channel = block_channel + static_cast<int>(lane) * V;
  const std::int64_t n = blockIdx.z, image = n * pixels * channels;
  auto sum = filled<V>(0.0f);
  if (channel < channels) {
    const auto scale = load_floats<V>(style + n * channels + channel);
    const int first = static_cast<int>(blockIdx.x * cut.steps * groups + threadIdx.x / cut.lanes);
    const int steps = steps_of(first, pixels, cut, groups);
#pragma unroll 4
    for (int step = 0; step < steps; ++step) {
      const std::int64_t pixel = first + step * static_cast<int>(groups);
      const std::int64_t at = image + pixel * channels + channel;
      auto value = load<V>(grad + at);
      const auto input = load<V>(x + at);
#pragma unroll
      for (int k = 0; k < V; ++k) {
        sum[k] += value[k] * input[k];
        value[k] *= scale[k];
      }
      if (grad_x != nullptr) store(grad_x + at, value);
    }
  }
  const std::int64_t to = (std::int64_t{blockIdx.x} * gridDim.z + n) * channels + block_channel;
  block_sums<V>(sum, cut.lanes, channels - block_channel, partial + to);
}

// sums[i] = (sum over the chunks of partial[chunk, i]) / divisor[i], for blockIdx.y's pair.
struct Finish {
  const float* partial[kSums];
  float* sums[kSums];
  const float* divisor[kSums];
};

__global__ void __launch_bounds__(kWarp* kSumRows)
    finish_kernel(Finish finish, int chunks, std::int64_t count) {
  auto shared = shared_memory<float>();
  const std::int64_t i = std::int64_t{blockIdx.x} * kWarp + threadIdx.x;
  const float* partial = finish.partial[blockIdx.y];
  float sum = 0.0f;
  if (i < count) {
    for (int chunk = static_cast<int>(threadIdx.y); chunk < chunks; chunk += kSumRows) {
      sum += partial[chunk * count + i];
    }
  }
  shared[threadIdx.y * kWarp + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || i >= count) return;
  for (int row = 1; row < kSumRows; ++row) sum += shared[row * kWarp + threadIdx.x];
  const float* divisor = finish.divisor[blockIdx.y];
  finish.sums[blockIdx.y][i] = divisor == nullptr ? sum : sum / divisor[i];
}

const char* finish_sums(const Finish& finish, int sums, const Cut& cut, const Layer& layer,
                        Stream stream) {
  const std::int64_t count = layer.batch * layer.channels;
  const dim3 grid(static_cast<unsigned>(divide_up(count, kWarp)), static_cast<unsigned>(sums));
  return launch(&finish_kernel, grid, dim3(kWarp, kSumRows), kWarp * kSumRows * sizeof(float),
                stream, finish, static_cast<int>(cut.chunks), count);
}

template <class From, class T, int V>
__global__ void __launch_bounds__(kThreads)
    modulate_kernel(const From* __restrict__ x, const float* __restrict__ style,
                    T* __restrict__ out, unsigned count, int channels) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= count) return;
  const std::int64_t n = blockIdx.y, at = (n * count + index) * V;
  const auto channel = static_cast<int>(index % static_cast<unsigned>(channels / V)) * V;
  Floats<V> value;
  if constexpr (std::is_same_v<From, float>) {
    value = load_floats<V>(x + at);
  } else {
    value = load<V>(x + at);
  }
  const auto scale = load_floats<V>(style + n * channels + channel);
#pragma unroll
  for (int k = 0; k < V; ++k) value[k] *= scale[k];
  store(out + at, value);
}

template <class From, class T, int V>
const char* launch_modulate(const void* x, const float* style, void* out, const Layer& layer,
                            Stream stream) {
  const std::int64_t count = layer.height * layer.width * layer.channels / V;
  const dim3 grid(static_cast<unsigned>(divide_up(count, kThreads)),
                  static_cast<unsigned>(layer.batch));
  return launch(&modulate_kernel<From, T, V>, grid, kThreads, 0, stream,
                static_cast<const From*>(x), style, static_cast<T*>(out),
                static_cast<unsigned>(count), static_cast<int>(layer.channels));
}

Activation activation_of(const Layer& layer) { return {layer.slope, layer.gain, layer.clamp}; }

std::int64_t noise_stride_of(const Layer& layer) {
  return layer.noise_per_image ? layer.height * layer.width : 0;
}

bool empty(const Layer& layer) {
  return layer.batch * layer.channels * layer.height * layer.width == 0;
}

// Calls run.operator()<T, V>(): V wide where the channels and all pointers allow it.
template <class Run, class... Pointers>
const char* with_width(const Layer& layer, const Run& run, const Pointers*... pointers) {
  return with_type(layer.dtype, [&]<class T>() {
    const bool wide = layer.channels % kWide<T> == 0 && (aligned(pointers) && ...);
    return wide ? run.template operator()<T, kWide<T>>() : run.template operator()<T, 1>();
  });
}

template <bool kActivate>
const char* filter(const void* in, const LayerTerms& terms, void* out, int in_more, int out_more,
                   int before, const Layer& layer, Stream stream) {
  if (empty(layer)) return nullptr;
  const std::int64_t height = layer.height + out_more, width = layer.width + out_more;
  return with_width(
      layer,
      [&]<class T, int V>() {
        const std::int64_t columns = width * layer.channels / V;
        const auto rows = static_cast<int>(std::clamp<std::int64_t>(
            columns * height * layer.batch / kWantedThreads, 1, kMostRows));
        const dim3 grid(static_cast<unsigned>(divide_up(columns, kThreads)),
                        static_cast<unsigned>(divide_up(height, rows)),
                        static_cast<unsigned>(layer.batch));
        return launch(&filter_kernel<T, V, kActivate>, grid, kThreads, 0, stream,
                      static_cast<const T*>(in), terms, static_cast<T*>(out),
                      static_cast<int>(layer.height + in_more),
                      static_cast<int>(layer.width + in_more), static_cast<int>(height),
                      static_cast<int>(width), before, static_cast<int>(layer.channels), rows,
                      noise_stride_of(layer), activation_of(layer));
      },
      in, out, terms.factor, terms.bias);
}

}  // namespace

const char* activate_layer(const void* c, const LayerTerms& terms, const ToRgb& to_rgb, void* y,
                           float* rgb, const Layer& layer, Stream stream) {
  if (empty(layer)) return nullptr;
  return with_width(
      layer,
      [&]<class T, int V>() {
        const auto pixels = static_cast<int>(layer.height * layer.width);
        const unsigned lanes = lanes_of(layer.channels / V);
        const dim3 grid(static_cast<unsigned>(divide_up(pixels, kThreads / lanes * kPixels)),
                        static_cast<unsigned>(layer.batch));
        const auto run = [&](auto kernel) {
          return launch(kernel, grid, kThreads, 0, stream, static_cast<const T*>(c), terms, to_rgb,
                        static_cast<T*>(y), rgb, pixels, static_cast<int>(layer.channels), lanes,
                        noise_stride_of(layer), activation_of(layer));
        };
        return to_rgb.weight == nullptr ? run(&activate_kernel<T, V, false>)
                                        : run(&activate_kernel<T, V, true>);
      },
      c, y, terms.factor, terms.bias, to_rgb.weight, to_rgb.style);
}

const char* activate_upsampled_layer(const void* c, const LayerTerms& terms, void* y,
                                     const Layer& layer, Stream stream) {
  return filter<true>(c, terms, y, 1, 0, 1, layer, stream);
}

const char* filter_upsampled(const void* c, void* filtered, const Layer& layer, Stream stream) {
  return filter<false>(c, {}, filtered, 1, 0, 1, layer, stream);
}

const char* filter_upsampled_transpose(const void* grad_filtered, void* grad_c, const Layer& layer,
                                       Stream stream) {
  return filter<false>(grad_filtered, {}, grad_c, 0, 1, 2, layer, stream);
}

std::int64_t layer_workspace(const Layer& layer) {
  if (empty(layer)) return 0;
  // The narrow form may have more chunks or fewer than the wide one.
  const std::int64_t chunks =
      std::max({cut_of(layer, 1).chunks, layer.channels >= 4 ? cut_of(layer, 4).chunks : 0,
                layer.channels >= 8 ? cut_of(layer, 8).chunks : 0});
  return kSums * chunks * layer.batch * layer.channels;
}

const char* activate_layer_backward(const void* grad_y, const float* grad_rgb, const void* y,
                                    const LayerTerms& terms, const ToRgb& to_rgb, void* grad_c,
                                    const LayerSums& sums, float* workspace, const Layer& layer,
                                    Stream stream) {
  if (empty(layer)) return nullptr;
  return with_width(
      layer,
      [&]<class T, int V>() {
        const Cut cut = cut_of(layer, V);
        Finish finish{};
        int wanted = 0;
        const auto claim = [&](float* sum, const float* divisor) -> float* {
          if (sum == nullptr) return nullptr;
          float* partial = workspace + wanted * cut.chunks * layer.batch * layer.channels;
          finish.partial[wanted] = partial;
          finish.sums[wanted] = sum;
          finish.divisor[wanted] = divisor;
          ++wanted;
          return partial;
        };
        const LayerSums partial{claim(sums.factor, terms.factor), claim(sums.noise, nullptr),
                                claim(sums.rgb_style, nullptr)};
        const dim3 grid(cut.chunks, cut.channel_blocks, static_cast<unsigned>(layer.batch));
        const char* error = launch(
            &activate_backward_kernel<T, V>, grid, kThreads, kThreads * V * sizeof(float), stream,
            static_cast<const T*>(grad_y), grad_rgb, static_cast<const T*>(y), terms, to_rgb,
            static_cast<T*>(grad_c), partial, static_cast<int>(layer.height * layer.width),
            static_cast<int>(layer.channels), cut, noise_stride_of(layer), activation_of(layer));
        if (error != nullptr || wanted == 0) return error;
        return finish_sums(finish, wanted, cut, layer, stream);
      },
      grad_y, y, grad_c, terms.factor, terms.bias, to_rgb.weight, to_rgb.style);
}

const char* modulate(const void* x, const float* style, void* out, const Layer& layer,
                     Stream stream) {
  if (empty(layer)) return nullptr;
  return with_width(
      layer,
      [&]<class T, int V>() { return launch_modulate<T, T, V>(x, style, out, layer, stream); }, x,
      out, style);
}

const char* modulate_weight(const float* weight, const float* style, void* out, const Layer& layer,
                            Stream stream) {
  if (empty(layer)) return nullptr;
  return with_width(
      layer,
      [&]<class T, int V>() {
        return launch_modulate<float, T, V>(weight, style, out, layer, stream);
      },
      weight, out, style);
}

const char* modulate_backward(const void* grad, const void* x, const float* style, void* grad_x,
                              float* grad_style, float* workspace, const Layer& layer,
                              Stream stream) {
  if (empty(layer)) return nullptr;
  return with_width(
      layer,
      [&]<class T, int V>() {
        const Cut cut = cut_of(layer, V);
        const dim3 grid(cut.chunks, cut.channel_blocks, static_cast<unsigned>(layer.batch));
        const char* error =
            launch(&modulate_backward_kernel<T, V>, grid, kThreads, kThreads * V * sizeof(float),
                   stream, static_cast<const T*>(grad), static_cast<const T*>(x), style,
                   static_cast<T*>(grad_x), workspace, static_cast<int>(layer.height * layer.width),
                   static_cast<int>(layer.channels), cut);
        if (error != nullptr) return error;
        Finish finish{};
        finish.partial[0] = workspace;
        finish.sums[0] = grad_style;
        return finish_sums(finish, 1, cut, layer, stream);
      },
      grad, x, style, grad_x);
}

}  // namespace styleclip::cuda
