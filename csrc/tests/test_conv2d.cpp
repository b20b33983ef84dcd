#include "check.h"
#include "kernels/cuda/conv2d.h"

using namespace styleclip::cuda;
using check::Buffer;

template <class T>
void case_of(int pixels, int channels, bool scaled, bool shifted, bool sloped,
             std::size_t misalign) {
  const std::string name = "prepare of " + std::to_string(pixels) + "x" + std::to_string(channels);
  const std::size_t elements = std::size_t(pixels) * channels;
  const Image image{std::int64_t(elements), channels, check::kDtype<T>};
  const auto x = Buffer<T>::normal(elements, misalign), grad = Buffer<T>::normal(elements);
  const auto scale = Buffer<float>::normal(channels), shift = Buffer<float>::normal(channels),
             slope = Buffer<float>::normal(channels);
  const Preparation terms{scaled ? scale.data() : nullptr, shifted ? shift.data() : nullptr,
                          sloped ? slope.data() : nullptr};
  Buffer<T> out(elements), grad_x(elements);
  check::run(name, [&] { return prepare(x.data(), terms, out.data(), image, nullptr); }, out);
  check::run(
      name + " backward",
      [&] {
        return prepare_backward(grad.data(), sloped ? x.data() : nullptr, terms, grad_x.data(),
                                image, nullptr);
      },
      grad_x);
  for (std::size_t i = 0; i < elements; ++i) {
    const std::size_t c = i % channels;
    const double factor = scaled ? scale[c] : 1.0, constant = shifted ? shift[c] : 0.0;
    const double normed = factor * x[i] + constant;
    const double steep = sloped && normed <= 0 ? slope[c] : 1.0;
    const double size = std::fabs(factor * x[i]) + std::fabs(constant);
    check::equal<T>(name, out[i], normed * steep, size * std::max(1.0, std::fabs(steep)), 3.0);
    // The sign of what float32 rounds to zero is anyone's.
    if (std::fabs(normed) < 1e-6 * size) continue;
    check::equal<T>(name + " backward", grad_x[i], grad[i] * steep * factor,
                    std::fabs(grad[i] * steep * factor), 3.0);
  }
}

int main() {
  check::with_each_type([]<class T>() {
    case_of<T>(0, 4, true, true, true, 0);
    case_of<T>(1, 1, true, true, true, 0);
    case_of<T>(37, 16, true, true, false, 0);
    case_of<T>(37, 16, false, false, true, 0);
    case_of<T>(9, 16, true, true, true, 1);
    for (int i = 0; i < 8; ++i) {
      case_of<T>(check::integer(1, 60), check::integer(1, 20), check::integer(0, 1),
                 check::integer(0, 1), check::integer(0, 1), 0);
    }
  });
  return check::report("conv2d");
}
