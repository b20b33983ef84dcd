#include "check.h"
#include "kernels/cuda/upfirdn2d.h"

using namespace styleclip::cuda;
using check::Buffer;

template <class T>
void upfirdn2d_case(int batch, int channels, int height, int width, int up, int down, int left,
                    int right, int top, int bottom, int taps_y, int taps_x, bool flip,
                    bool channels_last) {
  std::string name = "upfirdn2d of";
  for (int n : {batch, channels, height, width, up, down, left, right, top, bottom, taps_y, taps_x,
                int(flip), int(channels_last)}) {
    name += " " + std::to_string(n);
  }
  const int padded_height = height * up + top + bottom, padded_width = width * up + left + right;
  if (padded_height < taps_y || padded_width < taps_x) return;
  const int out_height = (padded_height - taps_y) / down + 1;
  const int out_width = (padded_width - taps_x) / down + 1;
  const Upfirdn2d problem{batch,
                          channels,
                          height,
                          width,
                          out_height,
                          out_width,
                          up,
                          down,
                          left,
                          top,
                          taps_y,
                          taps_x,
                          flip,
                          1.5f,
                          channels_last ? Layout::kChannelsLast : Layout::kContiguous,
                          check::kDtype<T>};
  const auto x = Buffer<T>::normal(std::size_t(batch) * channels * height * width);
  const auto column = Buffer<float>::normal(taps_y), row = Buffer<float>::normal(taps_x);
  auto kernel = Buffer<float>::normal(taps_y * taps_x);
  Buffer<T> out(std::size_t(batch) * channels * out_height * out_width);

  const auto at = [&](int n, int c, int y, int x, int h, int w) {
    return static_cast<std::size_t>(channels_last
                                        ? ((std::int64_t(n) * h + y) * w + x) * channels + c
                                        : ((std::int64_t(n) * channels + c) * h + y) * w + x);
  };
  const auto compare = [&](const std::string& form) {
    for (int n = 0; n < batch; ++n)
      for (int c = 0; c < channels; ++c)
        for (int y = 0; y < out_height; ++y)
          for (int z = 0; z < out_width; ++z) {
            double sum = 0, size = 0;
            for (int i = 0; i < taps_y; ++i)
              for (int j = 0; j < taps_x; ++j) {
                const int u = y * down + i - top, v = z * down + j - left;
                if (u < 0 || v < 0 || u >= height * up || v >= width * up) continue;
                if (u % up || v % up) continue;
                const double tap = flip ? kernel[i * taps_x + j]
                                        : kernel[(taps_y - 1 - i) * taps_x + taps_x - 1 - j];
                const double term = 1.5 * tap * x[at(n, c, u / up, v / up, height, width)];
                sum += term;
                size += std::fabs(term);
              }
            check::equal<T>(form, out[at(n, c, y, z, out_height, out_width)], sum, size, 20);
          }
  };
  std::vector<float> space(upfirdn2d_workspace(problem));
  const auto queue = [&] {
    return upfirdn2d(x.data(), kernel.data(), space.empty() ? nullptr : space.data(), out.data(),
                     problem, nullptr);
  };
  check::run(name, queue, out);
  compare(name);
  for (int i = 0; i < taps_y; ++i) {
    for (int j = 0; j < taps_x; ++j) kernel.set(i * taps_x + j, column[i] * row[j]);
  }
  check::run(name + " separable", queue, out);
  if (!space.empty() && x.size() > 0 && space[0] != 1.0f) check::fail(name + " is separable");
  compare(name + " separable");
}

int main() {
  check::with_each_type([]<class T>() {
    upfirdn2d_case<T>(0, 3, 4, 4, 2, 1, 2, 1, 2, 1, 4, 4, false, false);
    upfirdn2d_case<T>(1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, false, true);
    upfirdn2d_case<T>(1, 3, 9, 10, 2, 1, 2, 1, 2, 1, 4, 4, false, false);  // the skip image
    upfirdn2d_case<T>(1, 16, 19, 5, 1, 1, 1, 1, 1, 1, 4, 4, false, true);  // the blur
    upfirdn2d_case<T>(1, 8, 13, 12, 1, 2, 1, 1, 1, 1, 4, 4, true, true);
    for (int i = 0; i < 8; ++i) {
      upfirdn2d_case<T>(check::integer(1, 2), check::integer(1, 9), check::integer(1, 12),
                        check::integer(1, 12), check::integer(1, 3), check::integer(1, 3),
                        check::integer(-2, 3), check::integer(-2, 3), check::integer(-2, 3),
                        check::integer(-2, 3), check::integer(1, 6), check::integer(1, 6),
                        check::integer(0, 1), check::integer(0, 1));
    }
  });
  return check::report("upfirdn2d");
}
