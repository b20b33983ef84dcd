#include <limits>
#include <optional>

#include "check.h"
#include "kernels/cuda/modulated_conv2d.h"

using namespace styleclip::cuda;
using check::Buffer;

constexpr double kTaps[4] = {0.25, 0.75, 0.75, 0.25};

struct Case {
  int batch, channels, height, width;
  bool factor, noise, noise_strength, noise_per_image, bias, rgb, grad_y;
  float clamp;
  std::size_t misalign;
};

std::string name_of(const Case& c) {
  std::string name = "layer";
  for (int n :
       {c.batch, c.channels, c.height, c.width, int(c.factor), int(c.noise), int(c.noise_strength),
        int(c.noise_per_image), int(c.bias), int(c.rgb), int(c.grad_y), int(c.misalign)}) {
    name += " " + std::to_string(n);
  }
  return name;
}

template <class T>
class LayerCase {
 public:
  explicit LayerCase(const Case& chosen)
      : case_(chosen),
        name_(name_of(chosen)),
        pixels_(std::size_t(chosen.height) * chosen.width),
        elements_(pixels_ * chosen.batch * chosen.channels),
        layer_{chosen.batch, chosen.channels, chosen.height,          chosen.width,    0.2f,
               1.5f,         chosen.clamp,    chosen.noise_per_image, check::kDtype<T>},
        factor_(Buffer<float>::normal(std::size_t(chosen.batch) * chosen.channels)),
        noise_(Buffer<float>::normal((chosen.noise_per_image ? chosen.batch : 1) * pixels_)),
        strength_(Buffer<float>::normal(1)),
        bias_(Buffer<float>::normal(chosen.channels)),
        weight_(Buffer<float>::normal(3 * std::size_t(chosen.channels))),
        style_(Buffer<float>::normal(std::size_t(chosen.batch) * chosen.channels)) {
    terms_ = {case_.factor ? factor_.data() : nullptr, case_.noise ? noise_.data() : nullptr,
              case_.noise_strength ? strength_.data() : nullptr,
              case_.bias ? bias_.data() : nullptr};
    if (case_.rgb) to_rgb_ = {weight_.data(), style_.data()};
  }

  void run() {
    plain();
    upsampled();
    filters();
    backward();
    modulation();
  }

 private:
  std::size_t at(int n, int pixel, int c) const {
    return (std::size_t(n) * pixels_ + pixel) * case_.channels + c;
  }
  double factor(int n, int c) const { return case_.factor ? factor_[n * case_.channels + c] : 1; }
  double bias(int c) const { return case_.bias ? bias_[c] : 0; }
  double plain_noise(int n, int pixel) const {
    return case_.noise ? noise_[(case_.noise_per_image ? n * pixels_ : 0) + pixel] : 0;
  }
  double noise(int n, int pixel) const {
    return plain_noise(n, pixel) * (case_.noise_strength ? strength_[0] : 1.0);
  }
  double activated(double value, int n, int pixel, int c) const {
    const double p = factor(n, c) * value + noise(n, pixel) + bias(c);
    return std::clamp(p * (p > 0 ? 1.5f : 1.5f * 0.2f), -double(case_.clamp), double(case_.clamp));
  }
  double scale(double size, int n, int pixel, int c) const {
    return 1.5 * (std::fabs(factor(n, c)) * size + std::fabs(noise(n, pixel)) + std::fabs(bias(c)));
  }

  template <class Visit>
  void each(const Visit& visit) const {
    for (int n = 0; n < case_.batch; ++n)
      for (int pixel = 0; pixel < int(pixels_); ++pixel)
        for (int c = 0; c < case_.channels; ++c) visit(n, pixel, c);
  }

  void plain() {
    const auto c = Buffer<T>::normal(elements_, case_.misalign);
    Buffer<T> y(elements_);
    Buffer<float> rgb(case_.rgb ? 3 * case_.batch * pixels_ : 0);
    check::run(
        name_,
        [&] {
          return activate_layer(c.data(), terms_, to_rgb_, y.data(), rgb.data(), layer_, nullptr);
        },
        y, rgb);
    std::vector<double> image(rgb.size()), sizes(rgb.size());
    each([&](int n, int pixel, int o) {
      const double value = c[at(n, pixel, o)];
      const double expected = activated(value, n, pixel, o);
      check::equal<T>(name_, y[at(n, pixel, o)], expected, scale(std::fabs(value), n, pixel, o), 4);
      for (int j = 0; case_.rgb && j < 3; ++j) {
        const double mix = weight_[j * case_.channels + o] * style_[n * case_.channels + o];
        image[(n * 3 + j) * pixels_ + pixel] += mix * expected;
        sizes[(n * 3 + j) * pixels_ + pixel] +=
            std::fabs(mix) * scale(std::fabs(value), n, pixel, o);
      }
    });
    for (std::size_t i = 0; i < rgb.size(); ++i) {
      check::equal<float>(name_ + " rgb", rgb[i], image[i], sizes[i], 10);
    }
  }

  // Filters as it is defined: from one larger with one row and column before, or its transpose.
  template <class Input>
  std::pair<double, double> filtered(const Input& in, int n, int y, int x, int c, int in_more,
                                     int before) const {
    const int height = case_.height + in_more, width = case_.width + in_more;
    double sum = 0, size = 0;
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) {
        const int row = y + i - before, column = x + j - before;
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        const double term =
            kTaps[i] * kTaps[j] *
            in[((std::size_t(n) * height + row) * width + column) * case_.channels + c];
        sum += term;
        size += std::fabs(term);
      }
    return {sum, size};
  }

  std::size_t larger() const {
    return std::size_t(case_.batch) * (case_.height + 1) * (case_.width + 1) * case_.channels;
  }

  void upsampled() {
    const auto c = Buffer<T>::normal(larger(), case_.misalign);
    Buffer<T> y(elements_), plain(elements_);
    check::run(
        name_ + " upsampled",
        [&] { return activate_upsampled_layer(c.data(), terms_, y.data(), layer_, nullptr); }, y);
    check::run(
        name_ + " filter",
        [&] { return filter_upsampled(c.data(), plain.data(), layer_, nullptr); }, plain);
    each([&](int n, int pixel, int o) {
      const auto [sum, size] = filtered(c, n, pixel / case_.width, pixel % case_.width, o, 1, 1);
      check::equal<T>(name_ + " filter", plain[at(n, pixel, o)], sum, size, 6);
      check::equal<T>(name_ + " upsampled", y[at(n, pixel, o)], activated(sum, n, pixel, o),
                      scale(size, n, pixel, o), 6);
    });
  }

  void filters() {
    const auto grad = Buffer<T>::normal(elements_, case_.misalign);
    Buffer<T> grad_c(larger());
    check::run(
        name_ + " filter transposed",
        [&] { return filter_upsampled_transpose(grad.data(), grad_c.data(), layer_, nullptr); },
        grad_c);
    for (int n = 0; n < case_.batch; ++n)
      for (int y = 0; y <= case_.height; ++y)
        for (int x = 0; x <= case_.width; ++x)
          for (int c = 0; c < case_.channels; ++c) {
            const auto [sum, size] = filtered(grad, n, y, x, c, 0, 2);
            const std::size_t i =
                ((std::size_t(n) * (case_.height + 1) + y) * (case_.width + 1) + x) *
                    case_.channels +
                c;
            check::equal<T>(name_ + " filter transposed", grad_c[i], sum, size, 6);
          }
  }

  void backward() {
    if (!case_.grad_y && !case_.rgb) return;
    const auto y = Buffer<T>::normal(elements_, case_.misalign);
    const auto grad_y = Buffer<T>::normal(elements_);
    const auto grad_rgb = Buffer<float>::normal(3 * case_.batch * pixels_);
    const std::size_t count = std::size_t(case_.batch) * case_.channels;
    Buffer<T> grad_c(elements_);
    Buffer<float> factor_sum(case_.factor ? count : 0), noise_sum(case_.noise ? count : 0),
        style_sum(case_.rgb ? count : 0), workspace(layer_workspace(layer_));
    const LayerSums sums{case_.factor ? factor_sum.data() : nullptr,
                         case_.noise ? noise_sum.data() : nullptr,
                         case_.rgb ? style_sum.data() : nullptr};
    check::run(
        name_ + " backward",
        [&] {
          workspace.poison();
          return activate_layer_backward(
              case_.grad_y ? grad_y.data() : nullptr, case_.rgb ? grad_rgb.data() : nullptr,
              y.data(), terms_, to_rgb_, grad_c.data(), sums, workspace.data(), layer_, nullptr);
        },
        grad_c, factor_sum, noise_sum, style_sum);
    if (elements_ == 0) return;
    std::vector<double> expected(3 * count), sizes(3 * count);
    const auto add = [&](int quantity, int n, int c, double term, double size) {
      expected[quantity * count + n * case_.channels + c] += term;
      sizes[quantity * count + n * case_.channels + c] += size;
    };
    each([&](int n, int pixel, int c) {
      const double value = y[at(n, pixel, c)];
      double grad = case_.grad_y ? grad_y[at(n, pixel, c)] : 0, size = std::fabs(grad);
      if (case_.rgb) {
        double mixed = 0, mixed_size = 0;
        for (int j = 0; j < 3; ++j) {
          const double term =
              grad_rgb[(n * 3 + j) * pixels_ + pixel] * weight_[j * case_.channels + c];
          mixed += term;
          mixed_size += std::fabs(term);
        }
        grad += mixed * style_[n * case_.channels + c];
        size += mixed_size * std::fabs(style_[n * case_.channels + c]);
        add(2, n, c, mixed * value, mixed_size * std::fabs(value));
      }
      const bool free = std::fabs(value) < rounded<T>(case_.clamp);
      const double slope = free ? (value > 0 ? 1.5f : 1.5f * 0.2f) : 0;
      grad *= slope;
      size *= slope;
      check::equal<T>(name_ + " backward", grad_c[at(n, pixel, c)], grad * factor(n, c),
                      size * std::fabs(factor(n, c)), 8);
      const double p = value / (value > 0 ? 1.5f : 1.5f * 0.2f);
      const double scaled = p - noise(n, pixel) - bias(c);
      add(0, n, c, grad * scaled / factor(n, c),
          size * (std::fabs(p) + std::fabs(noise(n, pixel)) + std::fabs(bias(c))) /
              std::fabs(factor(n, c)));
      add(1, n, c, grad * plain_noise(n, pixel), size * std::fabs(plain_noise(n, pixel)));
    });
    for (std::size_t i = 0; i < count; ++i) {
      if (case_.factor)
        check::equal<float>(name_ + " factor", factor_sum[i], expected[i], sizes[i], 20);
      if (case_.noise) {
        check::equal<float>(name_ + " noise", noise_sum[i], expected[count + i], sizes[count + i],
                            20);
      }
      if (case_.rgb) {
        check::equal<float>(name_ + " rgb style", style_sum[i], expected[2 * count + i],
                            sizes[2 * count + i], 20);
      }
    }
  }

  void modulation() {
    const auto x = Buffer<T>::normal(elements_, case_.misalign);
    const auto grad = Buffer<T>::normal(elements_);
    const auto wide = Buffer<float>::normal(elements_);
    const std::size_t count = std::size_t(case_.batch) * case_.channels;
    Buffer<T> out(elements_), grad_x(elements_), weight(elements_);
    Buffer<float> grad_style(count), workspace(layer_workspace(layer_));
    check::run(
        name_ + " modulate",
        [&] { return modulate(x.data(), style_.data(), out.data(), layer_, nullptr); }, out);
    check::run(
        name_ + " modulate weight",
        [&] { return modulate_weight(wide.data(), style_.data(), weight.data(), layer_, nullptr); },
        weight);
    check::run(
        name_ + " modulate backward",
        [&] {
          return modulate_backward(grad.data(), x.data(), style_.data(), grad_x.data(),
                                   grad_style.data(), workspace.data(), layer_, nullptr);
        },
        grad_x, grad_style);
    if (elements_ == 0) return;
    std::vector<double> expected(count), sizes(count);
    each([&](int n, int pixel, int c) {
      const double style = style_[n * case_.channels + c], g = grad[at(n, pixel, c)],
                   value = x[at(n, pixel, c)];
      check::equal<T>(name_ + " modulate", out[at(n, pixel, c)], value * style,
                      std::fabs(value * style), 2);
      const double tap = wide[at(n, pixel, c)];
      check::equal<T>(name_ + " modulate weight", weight[at(n, pixel, c)], tap * style,
                      std::fabs(tap * style), 2);
      check::equal<T>(name_ + " modulate backward", grad_x[at(n, pixel, c)], g * style,
                      std::fabs(g * style), 2);
      expected[n * case_.channels + c] += g * value;
      sizes[n * case_.channels + c] += std::fabs(g * value);
    });
    for (std::size_t i = 0; i < count; ++i) {
      check::equal<float>(name_ + " style", grad_style[i], expected[i], sizes[i], 20);
    }
  }

  Case case_;
  std::string name_;
  std::size_t pixels_, elements_;
  Layer layer_;
  Buffer<float> factor_, noise_, strength_, bias_, weight_, style_;
  LayerTerms terms_{};
  ToRgb to_rgb_{};
};

int main() {
  constexpr float kNone = std::numeric_limits<float>::infinity();
  check::with_each_type([]<class T>() {
    const auto flip = [] { return check::integer(0, 1) == 1; };
    for (const Case& fixed :
         {Case{0, 8, 4, 4, true, true, true, false, true, true, true, kNone, 0},
          Case{1, 1, 1, 1, true, true, true, false, true, true, true, 1.0f, 0},
          Case{1, 32, 9, 9, true, true, true, false, true, true, true, kNone, 0},
          Case{2, 16, 5, 7, true, true, true, true, true, true, false, 0.8f, 0},
          Case{1, 24, 3, 5, true, true, true, false, true, true, true, kNone, 1},
          Case{1, 520, 2, 2, true, true, true, false, true, true, true, kNone, 0}}) {
      LayerCase<T>(fixed).run();
    }
    for (int i = 0; i < 5; ++i) {
      LayerCase<T>({check::integer(1, 2), check::integer(1, 40), check::integer(1, 9),
                    check::integer(1, 9), flip(), flip(), flip(), flip(), flip(), flip(), flip(),
                    i % 2 ? kNone : 0.9f, 0})
          .run();
    }
  });
  return check::report("modulated_conv2d");
}
