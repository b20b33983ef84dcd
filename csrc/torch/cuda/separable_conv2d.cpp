// styleclip_rt::separable_conv2d and its gradient on CUDA: MobileStyleGAN's layer. The pointwise
// convolution is cuDNN's.
#include "kernels/cuda/separable_conv2d.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <torch/library.h>

#include <tuple>

#include "kernels/cuda/bias_act.h"
#include "kernels/cuda/idwt2d.h"
#include "kernels/cuda/modulated_conv2d.h"
#include "torch/cuda/device.h"
#include "torch/cuda/kept_weight.h"

namespace {

using at::Tensor;
using styleclip::floats;
using styleclip::OptionalTensor;
using styleclip::side_input;
using Gradients = std::tuple<Tensor, Tensor, Tensor>;

constexpr const char* kName = "separable_conv2d";

styleclip::cuda::Layer layer_of(const Tensor& x, double slope = 1.0) {
  return {x.size(0),
          x.size(1),
          x.size(2),
          x.size(3),
          static_cast<float>(slope),
          1.0f,
          std::numeric_limits<float>::infinity(),
          false,
          styleclip::dtype_of(x)};
}

// What the depthwise convolution sees before it is scaled: x, or idwt2d(x * up_style).
Tensor lifted(const Tensor& x, const Tensor& up_style, styleclip::cuda::Stream stream) {
  if (!up_style.defined()) return x;
  const styleclip::cuda::Haar problem{x.size(0), x.size(1) / 4, x.size(2), x.size(3),
                                      styleclip::dtype_of(x)};
  const Tensor z =
      styleclip::empty_channels_last({x.size(0), x.size(1) / 4, 2 * x.size(2), 2 * x.size(3)}, x);
  styleclip::check_launch(styleclip::cuda::idwt2d(x.const_data_ptr(), floats(up_style),
                                                  z.mutable_data_ptr(), problem, stream),
                          kName);
  return z;
}

// `taps` [1 or N, 9, C].
Tensor depthwise(const Tensor& z, const Tensor& taps, bool flip, styleclip::cuda::Stream stream) {
  const Tensor out = styleclip::empty_channels_last(z.sizes(), z);
  const styleclip::cuda::Depthwise problem{
      z.size(0), z.size(1), z.size(2), z.size(3), taps.size(0) > 1, flip, styleclip::dtype_of(z)};
  styleclip::check_launch(styleclip::cuda::depthwise3x3(z.const_data_ptr(), floats(taps),
                                                        out.mutable_data_ptr(), problem, stream),
                          kName);
  return out;
}

// Depthwise weight [C, 1, 3, 3] as [1, 9, C] float32.
Tensor taps_of(const Tensor& weight) {
  return weight.to(at::kFloat).view({1, weight.size(0), 9}).transpose(1, 2);
}

Tensor separable_conv2d_cuda(const Tensor& x, const Tensor& style, const OptionalTensor& up_style,
                             const Tensor& depthwise_weight, const Tensor& pointwise,
                             const OptionalTensor& bias, const OptionalTensor& noise,
                             double slope) {
  const Tensor y = styleclip::checked_outputs<"separable_conv2d", decltype(separable_conv2d_cuda)>(
      x, style, up_style, depthwise_weight, pointwise, bias, noise, slope);
  if (y.numel() == 0) return y;
  const c10::DeviceGuard guard(x.device());
  const auto type = x.scalar_type();
  const auto stream = styleclip::current_stream(x);
  const Tensor up = side_input(up_style), scale = side_input(style);
  const Tensor shift = side_input(bias), map = side_input(noise);
  Tensor mixed;
  if (x.numel() == 0) {  // a sum over no channels
    mixed = styleclip::empty_channels_last(y.sizes(), y).zero_();
  } else {
    const Tensor z = lifted(styleclip::channels_last(x), up, stream);
    // The style scales the taps, which are few, instead of the image.
    const Tensor taps = at::mul(taps_of(depthwise_weight), scale.unsqueeze(1)).contiguous();
    mixed = styleclip::channels_last(
        at::conv2d(depthwise(z, taps, false, stream), styleclip::kept_weight(pointwise, type)));
  }
  styleclip::check_launch(
      styleclip::cuda::activate_layer(mixed.const_data_ptr(),
                                      {nullptr, floats(map), nullptr, floats(shift)}, {},
                                      y.mutable_data_ptr(), nullptr, layer_of(y, slope), stream),
      kName);
  return y;
}

Gradients separable_conv2d_backward_cuda(const Tensor& grad, const Tensor& x, const Tensor& y,
                                         const Tensor& style, const OptionalTensor& up_style,
                                         const Tensor& depthwise_weight, const Tensor& pointwise,
                                         double slope, bool need_x) {
  auto [grad_x, grad_style, grad_up_style] =
      styleclip::checked_outputs<"separable_conv2d_backward",
                                 decltype(separable_conv2d_backward_cuda)>(
          grad, x, y, style, up_style, depthwise_weight, pointwise, slope, need_x);
  if (y.numel() == 0 || x.numel() == 0) {
    return {grad_x.zero_(), grad_style.zero_(), grad_up_style.zero_()};
  }
  const c10::DeviceGuard guard(x.device());
  const auto type = x.scalar_type();
  const auto stream = styleclip::current_stream(x);
  const Tensor up = side_input(up_style), scale = side_input(style);
  const Tensor input = styleclip::channels_last(x), made = styleclip::channels_last(y);
  const Tensor given = styleclip::channels_last(grad.to(type));
  const Tensor z = lifted(input, up, stream);

  const Tensor grad_mixed = styleclip::empty_channels_last(y.sizes(), y);
  const styleclip::cuda::BiasAct activation{y.numel(),
                                            y.size(1),
                                            1,
                                            static_cast<float>(slope),
                                            1.0f,
                                            std::numeric_limits<float>::infinity(),
                                            styleclip::dtype_of(y)};
  styleclip::check_launch(
      styleclip::cuda::bias_act_backward(given.const_data_ptr(), made.const_data_ptr(),
                                         grad_mixed.mutable_data_ptr(), activation, stream),
      kName);
  const Tensor grad_deep = styleclip::channels_last(
      at::conv2d(grad_mixed, styleclip::kept_weight(pointwise, type).transpose(0, 1)));
  const Tensor grad_scaled =
      depthwise(grad_deep, taps_of(depthwise_weight).contiguous(), true, stream);

  const Tensor workspace = at::empty({std::max(styleclip::cuda::layer_workspace(layer_of(z)),
                                               styleclip::cuda::layer_workspace(layer_of(input)))},
                                     scale.options());
  const Tensor grad_z = up.defined() ? styleclip::empty_channels_last(z.sizes(), z) : grad_x;
  const bool wanted = up.defined() || need_x;
  styleclip::check_launch(
      styleclip::cuda::modulate_backward(
          grad_scaled.const_data_ptr(), z.const_data_ptr(), floats(scale),
          wanted ? grad_z.mutable_data_ptr() : nullptr, grad_style.mutable_data_ptr<float>(),
          workspace.mutable_data_ptr<float>(), layer_of(z), stream),
      kName);
  if (up.defined()) {
    const Tensor wavelets = styleclip::empty_channels_last(input.sizes(), input);
    const styleclip::cuda::Haar problem{input.size(0), z.size(1), input.size(2), input.size(3),
                                        styleclip::dtype_of(input)};
    styleclip::check_launch(styleclip::cuda::dwt2d(grad_z.const_data_ptr(),
                                                   wavelets.mutable_data_ptr(), problem, stream),
                            kName);
    styleclip::check_launch(
        styleclip::cuda::modulate_backward(
            wavelets.const_data_ptr(), input.const_data_ptr(), floats(up),
            need_x ? grad_x.mutable_data_ptr() : nullptr, grad_up_style.mutable_data_ptr<float>(),
            workspace.mutable_data_ptr<float>(), layer_of(input), stream),
        kName);
  }
  return {grad_x, grad_style, grad_up_style};
}

}  // namespace

TORCH_LIBRARY_IMPL(styleclip_rt, STYLECLIP_CUDA_KEY, library) {
  library.impl("separable_conv2d", separable_conv2d_cuda);
  library.impl("separable_conv2d_backward", separable_conv2d_backward_cuda);
}
