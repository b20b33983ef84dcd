#include "check.h"
#include "kernels/cuda/idwt2d.h"

using namespace styleclip::cuda;
using check::Buffer;

// The basis image of each band, by the sign of its four pixels.
constexpr int kSigns[4][2][2] = {
    {{1, 1}, {1, 1}}, {{1, 1}, {-1, -1}}, {{1, -1}, {1, -1}}, {{1, -1}, {-1, 1}}};

template <class T>
void haar_case(int batch, int channels, int height, int width, std::size_t misalign,
               bool scaled = false) {
  const std::string name = "idwt2d of " + std::to_string(batch) + "x" + std::to_string(channels) +
                           "x" + std::to_string(height) + "x" + std::to_string(width);
  const Haar problem{batch, channels, height, width, check::kDtype<T>};
  const std::size_t elements = std::size_t(batch) * 4 * channels * height * width;
  const auto wavelets = Buffer<T>::normal(elements, misalign);
  const auto grad_image = Buffer<T>::normal(elements, misalign);
  const auto scale = Buffer<float>::normal(std::size_t(batch) * 4 * channels);
  Buffer<T> image(elements), grad_wavelets(elements);
  check::run(
      name,
      [&] {
        return idwt2d(wavelets.data(), scaled ? scale.data() : nullptr, image.data(), problem,
                      nullptr);
      },
      image);
  check::run(
      name + " backward",
      [&] { return dwt2d(grad_image.data(), grad_wavelets.data(), problem, nullptr); },
      grad_wavelets);
  const auto band_at = [&](int n, int y, int x, int c, int band) {
    const std::size_t pixel = (std::size_t(n) * height + y) * width + x;
    return pixel * 4 * channels + (band == 0 ? c : channels + 3 * c + band - 1);
  };
  const auto image_at = [&](int n, int y, int x, int c) {
    return ((std::size_t(n) * 2 * height + y) * 2 * width + x) * channels + c;
  };
  for (int n = 0; n < batch; ++n)
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < channels; ++c) {
          for (int dy = 0; dy < 2; ++dy)
            for (int dx = 0; dx < 2; ++dx) {
              double sum = 0, size = 0;
              for (int band = 0; band < 4; ++band) {
                const std::size_t at = band_at(0, 0, 0, c, band);
                const double factor = scaled ? scale[n * 4 * channels + at] : 1.0;
                const double term =
                    factor * 0.5 * kSigns[band][dy][dx] * wavelets[band_at(n, y, x, c, band)];
                sum += term;
                size += std::fabs(term);
              }
              check::equal<T>(name, image[image_at(n, 2 * y + dy, 2 * x + dx, c)], sum, size, 3);
            }
          for (int band = 0; band < 4; ++band) {
            double sum = 0, size = 0;
            for (int dy = 0; dy < 2; ++dy)
              for (int dx = 0; dx < 2; ++dx) {
                const double term =
                    0.5 * kSigns[band][dy][dx] * grad_image[image_at(n, 2 * y + dy, 2 * x + dx, c)];
                sum += term;
                size += std::fabs(term);
              }
            check::equal<T>(name + " backward", grad_wavelets[band_at(n, y, x, c, band)], sum, size,
                            3);
          }
        }
}

int main() {
  check::with_each_type([]<class T>() {
    haar_case<T>(0, 3, 2, 2, 0);
    haar_case<T>(1, 1, 1, 1, 0);
    haar_case<T>(2, 16, 3, 5, 0);
    haar_case<T>(1, 16, 3, 3, 1);
    haar_case<T>(1, 3, 9, 7, 0);
    haar_case<T>(2, 8, 2, 3, 0, true);
    haar_case<T>(2, 3, 2, 3, 0, true);
    for (int i = 0; i < 4; ++i) {
      haar_case<T>(check::integer(1, 2), check::integer(1, 17), check::integer(1, 6),
                   check::integer(1, 6), 0);
    }
  });
  return check::report("idwt2d");
}
