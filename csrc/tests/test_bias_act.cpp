#include <limits>

#include "check.h"
#include "kernels/cuda/bias_act.h"

using namespace styleclip::cuda;
using check::Buffer;

template <class T>
void bias_act_case(int batch, int channels, int pixels, bool channels_last, bool with_bias,
                   float clamp, std::size_t misalign) {
  const std::string name = "bias_act of " + std::to_string(batch) + "x" + std::to_string(channels) +
                           "x" + std::to_string(pixels);
  const std::size_t elements = std::size_t(batch) * channels * pixels;
  BiasAct problem{std::int64_t(elements), channels, channels_last ? 1 : pixels, 0.2f, 1.5f, clamp,
                  check::kDtype<T>};
  const auto x = Buffer<T>::normal(elements, misalign);
  const auto bias = Buffer<float>::normal(channels);
  Buffer<T> out(elements), grad_x(elements);
  const float* bias_data = with_bias ? bias.data() : nullptr;
  check::run(
      name, [&] { return bias_act(x.data(), bias_data, out.data(), problem, nullptr); }, out);
  for (std::size_t i = 0; i < elements; ++i) {
    const std::size_t c = channels_last ? i % channels : i / pixels % channels;
    double y = x[i] + (with_bias ? bias[c] : 0.0);
    y = std::clamp(y * (y > 0 ? 1.5f : 1.5f * 0.2f), -double(clamp), double(clamp));
    check::equal<T>(name, out[i], y, 1.5 * std::fabs(x[i]) + 3.0, 2.0);
  }

  const auto grad = Buffer<T>::normal(elements, misalign);
  check::run(
      name + " backward",
      [&] { return bias_act_backward(grad.data(), out.data(), grad_x.data(), problem, nullptr); },
      grad_x);
  for (std::size_t i = 0; i < elements; ++i) {
    const double factor = std::fabs(out[i]) >= rounded<T>(clamp) ? 0.0
                          : out[i] > 0                           ? 1.5f
                                                                 : 1.5f * 0.2f;
    check::equal<T>(name + " backward", grad_x[i], grad[i] * factor, std::fabs(grad[i]), 2.0);
  }
}

int main() {
  constexpr float kNone = std::numeric_limits<float>::infinity();
  check::with_each_type([]<class T>() {
    bias_act_case<T>(0, 3, 5, true, true, kNone, 0);
    bias_act_case<T>(1, 1, 1, true, true, kNone, 0);
    bias_act_case<T>(2, 16, 37, true, true, 1.0f, 0);
    bias_act_case<T>(2, 3, 64, false, true, kNone, 0);
    bias_act_case<T>(2, 16, 9, true, true, kNone, 1);
    for (int i = 0; i < 8; ++i) {
      bias_act_case<T>(check::integer(1, 2), check::integer(1, 20), check::integer(1, 60),
                       check::integer(0, 1), check::integer(0, 1), i % 2 ? kNone : 0.7f, 0);
    }
  });
  return check::report("bias_act");
}
