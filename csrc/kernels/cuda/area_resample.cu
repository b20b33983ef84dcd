#include <algorithm>

#include "area_resample.h"
#include "vector.cuh"

namespace styleclip::cuda {
namespace {

constexpr unsigned kThreads = 128;
constexpr int kRows = 8;      // written rows of a thread
constexpr int kChannels = 8;  // channels of a launch
constexpr int kManyReads = 64;
constexpr int kLaneColumns = 8, kLaneRows = 4;  // a warp on one written pixel

// One axis of the map. Written pixel `begin + a`, a < count, spans [a, a + 1) * step; read pixel
// `read_begin + b` spans [b, b + 1) * read_step. In these units every border is an integer, and
// the map and its transpose differ in nothing but which side is written.
struct Axis {
  int written, begin, count, step;
  int read_begin, read_step;
};

struct Span {
  int first, last;  // read pixels [first, last), counted from read_begin
};

// Constants of the channels of one launch, handed over as kernel parameters.
struct Affine {
  float scale[kChannels], shift[kChannels];
};

__device__ __forceinline__ Span span(const Axis& axis, int a) {
  return {a * axis.step / axis.read_step, ((a + 1) * axis.step - 1) / axis.read_step + 1};
}

__device__ __forceinline__ float covered(const Axis& axis, int a, int b) {
  const int begin = max(a * axis.step, b * axis.read_step);
  const int end = min((a + 1) * axis.step, (b + 1) * axis.read_step);
  return static_cast<float>(end - begin);
}

// One thread, or with kWarps one warp, averages for kRows (one) written pixels below one another.
template <class T, bool kWarps>
__global__ void __launch_bounds__(kThreads)
    area_kernel(const T* __restrict__ read, T* __restrict__ written, Axis rows, Axis columns,
                Strides from, Strides to, int first_channel, int channels, float share,
                Affine affine) {
  const unsigned thread = blockIdx.x * kThreads + threadIdx.x;
  const int x = static_cast<int>(kWarps ? thread / kWarp : thread);
  const int lane = threadIdx.x % kWarp;
  const int lane_row = kWarps ? lane / kLaneColumns : 0;
  const int lane_column = kWarps ? lane % kLaneColumns : 0;
  const int row_step = kWarps ? kLaneRows : 1, column_step = kWarps ? kLaneColumns : 1;
  // Whole warps leave here, never a part of one.
  if (x >= columns.written) return;

  const int plane = static_cast<int>(blockIdx.z);
  const int channel = plane % channels;
  read += plane / channels * from.n + (first_channel + channel) * from.c;
  written += plane / channels * to.n + (first_channel + channel) * to.c + x * to.w;
  const float scale = affine.scale[channel] * share, shift = affine.shift[channel];

  const int column = x - columns.begin;
  const bool inside = column >= 0 && column < columns.count;
  const Span across = inside ? span(columns, column) : Span{0, 0};
  const int y_begin = static_cast<int>(blockIdx.y) * (kWarps ? 1 : kRows);
  const int y_end = min(y_begin + (kWarps ? 1 : kRows), rows.written);
  for (int y = y_begin; y < y_end; ++y) {
    const int row = y - rows.begin;
    float sum = 0.0f;
    if (inside && row >= 0 && row < rows.count) {
      const Span down = span(rows, row);
      for (int i = down.first + lane_row; i < down.last; i += row_step) {
        const T* line = read + (rows.read_begin + i) * from.h + columns.read_begin * from.w;
        float line_sum = 0.0f;
        for (int j = across.first + lane_column; j < across.last; j += column_step) {
          line_sum += covered(columns, column, j) * to_float(line[j * from.w]);
        }
        sum += covered(rows, row, i) * line_sum;
      }
    }
    if (kWarps) sum = warp_sum(sum);
    if (lane == 0 || !kWarps) written[y * to.h] = from_float<T>(shift + scale * sum);
  }
}

const char* resample(const void* read, void* written, const Axis& rows, const Axis& columns,
                     const Strides& from, const Strides& to, const float* scale, const float* shift,
                     const AreaResample& problem, Stream stream) {
  if (problem.batch * problem.channels == 0) return nullptr;
  const float share =
      1.0f / (static_cast<float>(problem.crop_height) * static_cast<float>(problem.crop_width));
  const std::int64_t reads =
      divide_up(rows.step, rows.read_step) * divide_up(columns.step, columns.read_step);
  const bool warps = reads >= kManyReads;
  const auto blocks_x = divide_up(std::int64_t{columns.written} * (warps ? kWarp : 1), kThreads);
  const auto blocks_y = divide_up(rows.written, warps ? 1 : kRows);
  // A grid is at most 65535 deep and the constants of a launch are few: go by channels and images.
  const std::int64_t images_at_once = 65535 / kChannels;
  for (std::int64_t c = 0; c < problem.channels; c += kChannels) {
    const auto channels = static_cast<int>(std::min<std::int64_t>(kChannels, problem.channels - c));
    Affine affine{};
    for (int k = 0; k < channels; ++k) {
      affine.scale[k] = scale[c + k];
      affine.shift[k] = shift == nullptr ? 0.0f : shift[c + k];
    }
    for (std::int64_t n = 0; n < problem.batch; n += images_at_once) {
      const auto images = std::min(images_at_once, problem.batch - n);
      const dim3 grid(static_cast<unsigned>(blocks_x), static_cast<unsigned>(blocks_y),
                      static_cast<unsigned>(images * channels));
      const char* error = with_type(problem.dtype, [&]<class T>() {
        const auto run = [&](auto kernel) {
          return launch(kernel, grid, kThreads, 0, stream, static_cast<const T*>(read) + n * from.n,
                        static_cast<T*>(written) + n * to.n, rows, columns, from, to,
                        static_cast<int>(c), channels, share, affine);
        };
        return warps ? run(&area_kernel<T, true>) : run(&area_kernel<T, false>);
      });
      if (error != nullptr) return error;
    }
  }
  return nullptr;
}

// How the averages of `outputs` pixels over `length` of `inputs` pixels from `start` on are taken.
Axis averages(std::int64_t start, std::int64_t length, std::int64_t outputs) {
  const auto out = static_cast<int>(outputs), in = static_cast<int>(length);
  return {out, 0, out, in, static_cast<int>(start), out};
}

Axis averages_transpose(std::int64_t inputs, std::int64_t start, std::int64_t length,
                        std::int64_t outputs) {
  const auto out = static_cast<int>(outputs), in = static_cast<int>(length);
  return {static_cast<int>(inputs), static_cast<int>(start), in, out, 0, in};
}

}  // namespace

const char* area_resample(const void* image, const float* scale, const float* shift, void* out,
                          const AreaResample& problem, Stream stream) {
  return resample(image, out, averages(problem.top, problem.crop_height, problem.out_height),
                  averages(problem.left, problem.crop_width, problem.out_width), problem.image,
                  problem.out, scale, shift, problem, stream);
}

const char* area_resample_transpose(const void* grad_out, const float* scale, void* grad_image,
                                    const AreaResample& problem, Stream stream) {
  return resample(
      grad_out, grad_image,
      averages_transpose(problem.image_height, problem.top, problem.crop_height,
                         problem.out_height),
      averages_transpose(problem.image_width, problem.left, problem.crop_width, problem.out_width),
      problem.out, problem.image, scale, nullptr, problem, stream);
}

}  // namespace styleclip::cuda
