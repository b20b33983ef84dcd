#include "check.h"
#include "kernels/cuda/separable_conv2d.h"

using namespace styleclip::cuda;
using check::Buffer;

template <class T>
void depthwise_case(int batch, int channels, int height, int width, bool taps_per_image, bool flip,
                    std::size_t misalign) {
  std::string name = "depthwise3x3 of";
  for (int n : {batch, channels, height, width, int(taps_per_image), int(flip)}) {
    name += " " + std::to_string(n);
  }
  const Depthwise problem{batch, channels, height, width, taps_per_image, flip, check::kDtype<T>};
  const std::size_t elements = std::size_t(batch) * channels * height * width;
  const auto x = Buffer<T>::normal(elements, misalign);
  const auto taps = Buffer<float>::normal(std::size_t(taps_per_image ? batch : 1) * 9 * channels);
  Buffer<T> out(elements);
  check::run(
      name, [&] { return depthwise3x3(x.data(), taps.data(), out.data(), problem, nullptr); }, out);
  const auto at = [&](int n, int y, int z, int c) {
    return ((std::size_t(n) * height + y) * width + z) * channels + c;
  };
  for (int n = 0; n < batch; ++n)
    for (int y = 0; y < height; ++y)
      for (int z = 0; z < width; ++z)
        for (int c = 0; c < channels; ++c) {
          double sum = 0, size = 0;
          for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) {
              const int row = y + i - 1, column = z + j - 1;
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              const int tap = flip ? 8 - (3 * i + j) : 3 * i + j;
              const double term = taps[((taps_per_image ? n : 0) * 9 + tap) * channels + c] *
                                  x[at(n, row, column, c)];
              sum += term;
              size += std::fabs(term);
            }
          check::equal<T>(name, out[at(n, y, z, c)], sum, size, 10);
        }
}

int main() {
  check::with_each_type([]<class T>() {
    depthwise_case<T>(0, 4, 3, 3, true, false, 0);
    depthwise_case<T>(1, 1, 1, 1, false, false, 0);
    depthwise_case<T>(2, 16, 7, 6, true, false, 0);
    depthwise_case<T>(2, 16, 7, 6, false, true, 1);
    for (int i = 0; i < 5; ++i) {
      depthwise_case<T>(check::integer(1, 2), check::integer(1, 13), check::integer(1, 9),
                        check::integer(1, 9), check::integer(0, 1), check::integer(0, 1), 0);
    }
  });
  return check::report("separable_conv2d");
}
