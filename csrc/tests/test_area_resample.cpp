#include "check.h"
#include "kernels/cuda/area_resample.h"

using namespace styleclip::cuda;
using check::Buffer;

Strides strides(bool channels_last, std::int64_t c, std::int64_t h, std::int64_t w) {
  return channels_last ? Strides{c * h * w, 1, w * c, c} : Strides{c * h * w, h * w, w, 1};
}

// The part of input pixel i that output pixel o of `outputs` over `length` covers.
double covered(int i, int o, int length, int outputs) {
  const double begin = double(o) * length / outputs, end = double(o + 1) * length / outputs;
  return std::max(0.0, std::min(i + 1.0, end) - std::max(double(i), begin)) / (end - begin);
}

template <class T>
void area_case(int batch, int channels, int height, int width, int top, int left, int rows,
               int columns, int out_height, int out_width, bool channels_last) {
  std::string name = "area_resample of";
  for (int n : {batch, channels, height, width, top, left, rows, columns, out_height, out_width}) {
    name += " " + std::to_string(n);
  }
  const AreaResample problem{batch,
                             channels,
                             height,
                             width,
                             top,
                             left,
                             rows,
                             columns,
                             out_height,
                             out_width,
                             strides(channels_last, channels, height, width),
                             strides(!channels_last, channels, out_height, out_width),
                             check::kDtype<T>};
  const auto image = Buffer<T>::normal(std::size_t(batch) * channels * height * width);
  const auto grad_out = Buffer<T>::normal(std::size_t(batch) * channels * out_height * out_width);
  Buffer<T> out(grad_out.size()), grad_image(image.size());
  const auto scale = Buffer<float>::normal(channels), shift = Buffer<float>::normal(channels);
  check::run(
      name,
      [&] {
        return area_resample(image.data(), scale.data(), shift.data(), out.data(), problem,
                             nullptr);
      },
      out);
  check::run(
      name + " transposed",
      [&] {
        return area_resample_transpose(grad_out.data(), scale.data(), grad_image.data(), problem,
                                       nullptr);
      },
      grad_image);
  const auto at = [](const Strides& s, int n, int c, int y, int x) {
    return static_cast<std::size_t>(n * s.n + c * s.c + y * s.h + x * s.w);
  };
  for (int n = 0; n < batch; ++n)
    for (int c = 0; c < channels; ++c) {
      std::vector<double> grad(std::size_t(height) * width), sizes(grad.size());
      for (int y = 0; y < out_height; ++y)
        for (int x = 0; x < out_width; ++x) {
          double sum = 0, size = 0;
          const double outer = scale[c] * grad_out[at(problem.out, n, c, y, x)];
          for (int i = 0; i < rows; ++i)
            for (int j = 0; j < columns; ++j) {
              const double share =
                  covered(i, y, rows, out_height) * covered(j, x, columns, out_width);
              const double value = image[at(problem.image, n, c, top + i, left + j)];
              sum += share * value;
              size += std::fabs(share * value);
              grad[(top + i) * width + left + j] += share * outer;
              sizes[(top + i) * width + left + j] += std::fabs(share * outer);
            }
          check::equal<T>(name, out[at(problem.out, n, c, y, x)], shift[c] + scale[c] * sum,
                          std::fabs(shift[c]) + std::fabs(scale[c]) * size, 20);
        }
      for (int i = 0; i < height; ++i)
        for (int j = 0; j < width; ++j) {
          check::equal<T>(name + " transposed", grad_image[at(problem.image, n, c, i, j)],
                          grad[i * width + j], sizes[i * width + j], 20);
        }
    }
}

int main() {
  check::with_each_type([]<class T>() {
    area_case<T>(0, 3, 4, 4, 0, 0, 4, 4, 2, 2, true);
    area_case<T>(1, 1, 1, 1, 0, 0, 1, 1, 1, 1, false);
    area_case<T>(1, 3, 32, 32, 0, 0, 32, 32, 7, 7, false);  // 1024 -> 224
    area_case<T>(1, 3, 23, 30, 1, 2, 20, 25, 2, 2, true);   // a warp on each pixel
    area_case<T>(1, 9, 5, 6, 1, 1, 3, 4, 2, 3, true);       // more channels than a launch takes
    area_case<T>(1, 2, 2, 2, 0, 0, 2, 2, 19, 23, false);    // a warp on each pixel, transposed
    for (int i = 0; i < 6; ++i) {
      const int height = check::integer(1, 13), width = check::integer(1, 13);
      const int top = check::integer(0, height - 1), left = check::integer(0, width - 1);
      area_case<T>(check::integer(1, 2), check::integer(1, 3), height, width, top, left,
                   check::integer(1, height - top), check::integer(1, width - left),
                   check::integer(1, 15), check::integer(1, 15), check::integer(0, 1));
    }
  });
  return check::report("area_resample");
}
