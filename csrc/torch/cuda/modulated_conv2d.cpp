// styleclip_rt::modulated_conv2d and its gradient on CUDA: cuDNN convolves, our kernels do the
// rest.
#include "kernels/cuda/modulated_conv2d.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "torch/cuda/device.h"
#include "torch/cuda/kept_weight.h"

namespace {

using at::Tensor;
using styleclip::floats;
using styleclip::OptionalTensor;
using styleclip::side_input;
using MaybeDouble = std::optional<double>;
using Images = std::tuple<Tensor, Tensor>;
using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

// The side inputs as the kernels read them; the tensors keep the memory alive.
struct Sides {
  Tensor style, factor, noise, noise_strength, bias, rgb_weight, rgb_style;

  styleclip::cuda::LayerTerms terms() const {
    return {floats(factor), floats(noise), floats(noise_strength), floats(bias)};
  }
  styleclip::cuda::ToRgb to_rgb() const { return {floats(rgb_weight), floats(rgb_style)}; }
};

styleclip::cuda::Layer layer_of(const Tensor& y, double slope, double gain,
                                const MaybeDouble& clamp, const Tensor& noise = {}) {
  return {y.size(0),
          y.size(1),
          y.size(2),
          y.size(3),
          static_cast<float>(slope),
          static_cast<float>(gain),
          styleclip::limit<float>(clamp),
          noise.defined() && noise.size(0) > 1,
          styleclip::dtype_of(y)};
}

styleclip::cuda::Layer layer_of(const Tensor& x) { return layer_of(x, 1.0, 1.0, std::nullopt); }

// conv(x * style, weight), channels-last; upsampled ones are one larger and not yet filtered.
Tensor convolve(const Tensor& x, const Tensor& weight, const Tensor& style, bool up) {
  if (x.numel() == 0) {  // a sum over no channels
    const int64_t scale = up ? 2 : 1, more = up ? 1 : 0;
    return styleclip::empty_channels_last(
               {x.size(0), weight.size(0), scale * x.size(2) + more, scale * x.size(3) + more}, x)
        .zero_();
  }
  const auto stream = styleclip::current_stream(x);
  Tensor input = styleclip::channels_last(x), kernel;
  if (x.size(0) == 1 && weight.numel() < x.numel()) {
    // A single image can have its style in the weight, which is the smaller of the two.
    const Tensor wide = styleclip::kept_weight(weight, at::kFloat);
    kernel = at::empty(weight.sizes(), x.options(), at::MemoryFormat::ChannelsLast);
    auto taps = layer_of(kernel);
    taps.height *= taps.batch;
    taps.batch = 1;
    styleclip::check_launch(
        styleclip::cuda::modulate_weight(floats(wide), floats(style), kernel.mutable_data_ptr(),
                                         taps, stream),
        "modulated_conv2d");
  } else {
    const Tensor modulated = styleclip::empty_channels_last(input.sizes(), input);
    styleclip::check_launch(
        styleclip::cuda::modulate(input.const_data_ptr(), floats(style),
                                  modulated.mutable_data_ptr(), layer_of(input), stream),
        "modulated_conv2d");
    input = modulated;
    kernel = styleclip::kept_weight(weight, x.scalar_type());
  }
  const int64_t border = weight.size(2) / 2;
  return styleclip::channels_last(up ? at::conv_transpose2d(input, kernel.transpose(0, 1), {}, 2)
                                     : at::conv2d(input, kernel, {}, 1, border));
}

Images modulated_conv2d_cuda(const Tensor& x, const Tensor& weight, const Tensor& style,
                             const OptionalTensor& factor, const OptionalTensor& noise,
                             const OptionalTensor& noise_strength, const OptionalTensor& bias,
                             const OptionalTensor& rgb_weight, const OptionalTensor& rgb_style,
                             bool up, double slope, double gain, MaybeDouble clamp) {
  const auto [y, rgb] =
      styleclip::checked_outputs<"modulated_conv2d", decltype(modulated_conv2d_cuda)>(
          x, weight, style, factor, noise, noise_strength, bias, rgb_weight, rgb_style, up, slope,
          gain, clamp);
  if (y.numel() == 0) return {y, rgb.zero_()};
  const c10::DeviceGuard guard(x.device());
  const Sides sides{side_input(style),          side_input(factor), side_input(noise),
                    side_input(noise_strength), side_input(bias),   side_input(rgb_weight),
                    side_input(rgb_style)};
  const auto stream = styleclip::current_stream(x);
  const auto layer = layer_of(y, slope, gain, clamp, sides.noise);
  Tensor c = convolve(x, weight, sides.style, up);
  if (up && !sides.rgb_weight.defined()) {
    styleclip::check_launch(
        styleclip::cuda::activate_upsampled_layer(c.const_data_ptr(), sides.terms(),
                                                  y.mutable_data_ptr(), layer, stream),
        "modulated_conv2d");
    return {y, rgb};
  }
  if (up) {
    const Tensor filtered = styleclip::empty_channels_last(y.sizes(), y);
    styleclip::check_launch(styleclip::cuda::filter_upsampled(
                                c.const_data_ptr(), filtered.mutable_data_ptr(), layer, stream),
                            "modulated_conv2d");
    c = filtered;
  }
  styleclip::check_launch(
      styleclip::cuda::activate_layer(
          c.const_data_ptr(), sides.terms(), sides.to_rgb(), y.mutable_data_ptr(),
          sides.rgb_weight.defined() ? rgb.mutable_data_ptr<float>() : nullptr, layer, stream),
      "modulated_conv2d");
  return {y, rgb};
}

Gradients modulated_conv2d_backward_cuda(
    const OptionalTensor& grad_y, const OptionalTensor& grad_rgb, const Tensor& y, const Tensor& x,
    const Tensor& weight, const Tensor& style, const OptionalTensor& factor,
    const OptionalTensor& noise, const OptionalTensor& noise_strength, const OptionalTensor& bias,
    const OptionalTensor& rgb_weight, const OptionalTensor& rgb_style, bool up, double slope,
    double gain, MaybeDouble clamp, bool need_x) {
  auto [grad_x, grad_style, grad_factor, grad_strength, grad_rgb_style] =
      styleclip::checked_outputs<"modulated_conv2d_backward",
                                 decltype(modulated_conv2d_backward_cuda)>(
          grad_y, grad_rgb, y, x, weight, style, factor, noise, noise_strength, bias, rgb_weight,
          rgb_style, up, slope, gain, clamp, need_x);
  if (y.numel() == 0) {
    return {grad_x.zero_(), grad_style.zero_(), grad_factor.zero_(), grad_strength.zero_(),
            grad_rgb_style.zero_()};
  }
  const c10::DeviceGuard guard(x.device());
  const auto type = x.scalar_type();
  const Tensor image = side_input(grad_rgb);
  const bool rgb = image.defined();
  const Sides sides{side_input(style),
                    side_input(factor),
                    side_input(noise),
                    side_input(noise_strength),
                    side_input(bias),
                    rgb ? side_input(rgb_weight) : Tensor(),
                    rgb ? side_input(rgb_style) : Tensor()};
  const auto stream = styleclip::current_stream(x);
  const Tensor made = styleclip::channels_last(y), input = styleclip::channels_last(x);
  const Tensor grad =
      grad_y && grad_y->defined() ? styleclip::channels_last(grad_y->to(type)) : Tensor();
  const auto layer = layer_of(made, slope, gain, clamp, sides.noise);
  const auto inputs = layer_of(input);
  const auto space =
      std::max(styleclip::cuda::layer_workspace(layer), styleclip::cuda::layer_workspace(inputs));
  const auto sums = x.options().dtype(at::kFloat);
  const Tensor workspace = at::empty({space}, sums);
  const bool noisy = sides.noise.defined();
  const Tensor noise_sums = noisy ? at::empty({y.size(0), y.size(1)}, sums) : Tensor();

  Tensor grad_c = styleclip::empty_channels_last(y.sizes(), y);
  styleclip::check_launch(
      styleclip::cuda::activate_layer_backward(
          grad.defined() ? grad.const_data_ptr() : nullptr, floats(image), made.const_data_ptr(),
          sides.terms(), sides.to_rgb(), grad_c.mutable_data_ptr(),
          {sides.factor.defined() ? grad_factor.mutable_data_ptr<float>() : nullptr,
           noisy ? noise_sums.mutable_data_ptr<float>() : nullptr,
           rgb ? grad_rgb_style.mutable_data_ptr<float>() : nullptr},
          workspace.mutable_data_ptr<float>(), layer, stream),
      "modulated_conv2d_backward");
  if (noisy) grad_strength.copy_(noise_sums.sum());
  if (!rgb && grad_rgb_style.numel() > 0) grad_rgb_style.zero_();

  if (x.numel() == 0) return {grad_x, grad_style, grad_factor, grad_strength, grad_rgb_style};

  const Tensor kernel = styleclip::kept_weight(weight, type);
  if (up) {
    const Tensor larger =
        styleclip::empty_channels_last({y.size(0), y.size(1), y.size(2) + 1, y.size(3) + 1}, y);
    styleclip::check_launch(styleclip::cuda::filter_upsampled_transpose(
                                grad_c.const_data_ptr(), larger.mutable_data_ptr(), layer, stream),
                            "modulated_conv2d_backward");
    grad_c = at::conv2d(larger, kernel.transpose(0, 1), {}, 2);
  } else {
    grad_c = at::conv_transpose2d(grad_c, kernel, {}, 1, weight.size(2) / 2);
  }
  grad_c = styleclip::channels_last(grad_c);
  styleclip::check_launch(
      styleclip::cuda::modulate_backward(
          grad_c.const_data_ptr(), input.const_data_ptr(), floats(sides.style),
          need_x ? grad_x.mutable_data_ptr() : nullptr, grad_style.mutable_data_ptr<float>(),
          workspace.mutable_data_ptr<float>(), inputs, stream),
      "modulated_conv2d_backward");
  return {grad_x, grad_style, grad_factor, grad_strength, grad_rgb_style};
}

}  // namespace

TORCH_LIBRARY_IMPL(styleclip_rt, STYLECLIP_CUDA_KEY, library) {
  library.impl("modulated_conv2d", modulated_conv2d_cuda);
  library.impl("modulated_conv2d_backward", modulated_conv2d_backward_cuda);
}
