// styleclip_rt::conv2d and its gradient on CUDA: cuDNN convolves, one kernel goes before it.
#include "kernels/cuda/conv2d.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <torch/library.h>

#include "torch/cuda/device.h"
#include "torch/cuda/kept_weight.h"

namespace {

using at::Tensor;
using styleclip::floats;
using styleclip::OptionalTensor;
using styleclip::side_input;

// Scale, shift and slope as the kernels read them; the tensors keep the memory alive.
struct Sides {
  Tensor scale, shift, slope;

  styleclip::cuda::Preparation terms() const {
    return {floats(scale), floats(shift), floats(slope)};
  }
};

styleclip::cuda::Image image_of(const Tensor& x) {
  return {x.numel(), x.size(1), styleclip::dtype_of(x)};
}

Tensor conv2d_cuda(const Tensor& x, const Tensor& weight, const OptionalTensor& scale,
                   const OptionalTensor& shift, const OptionalTensor& slope,
                   const OptionalTensor& factor, const OptionalTensor& bias) {
  const Tensor y = styleclip::checked_outputs<"conv2d", decltype(conv2d_cuda)>(
      x, weight, scale, shift, slope, factor, bias);
  if (y.numel() == 0) return y;
  const bool biased = styleclip::given(bias);
  if (x.numel() == 0) {  // a sum over no channels
    return biased ? y.copy_(bias->view({1, -1, 1, 1}).expand_as(y)) : y.zero_();
  }
  const c10::DeviceGuard guard(x.device());
  const auto type = x.scalar_type();
  const Sides sides{side_input(scale), side_input(shift), side_input(slope)};
  Tensor input = styleclip::channels_last(x);
  if (sides.scale.defined() || sides.shift.defined() || sides.slope.defined()) {
    const Tensor prepared = styleclip::empty_channels_last(x.sizes(), x);
    styleclip::check_launch(
        styleclip::cuda::prepare(input.const_data_ptr(), sides.terms(), prepared.mutable_data_ptr(),
                                 image_of(x), styleclip::current_stream(x)),
        "conv2d");
    input = prepared;
  }
  return styleclip::channels_last(at::conv2d(
      input, styleclip::kept_weight(weight, type, factor),
      biased ? OptionalTensor(styleclip::kept_matrix(*bias, type)) : OptionalTensor(), 1, 1));
}

Tensor conv2d_backward_cuda(const Tensor& grad, const OptionalTensor& x, const Tensor& weight,
                            const OptionalTensor& scale, const OptionalTensor& shift,
                            const OptionalTensor& slope, const OptionalTensor& factor,
                            const OptionalTensor& bias) {
  const Tensor grad_x =
      styleclip::checked_outputs<"conv2d_backward", decltype(conv2d_backward_cuda)>(
          grad, x, weight, scale, shift, slope, factor, bias);
  if (grad_x.numel() == 0) return grad_x;
  if (grad.numel() == 0) return grad_x.zero_();
  const c10::DeviceGuard guard(grad.device());
  const Tensor from = styleclip::channels_last(
      at::conv_transpose2d(styleclip::channels_last(grad),
                           styleclip::kept_weight(weight, grad.scalar_type(), factor), {}, 1, 1));
  const Sides sides{side_input(scale), side_input(shift), side_input(slope)};
  if (!sides.scale.defined() && !sides.slope.defined()) return from;
  const Tensor seen = sides.slope.defined() ? styleclip::channels_last(*x) : Tensor();
  styleclip::check_launch(
      styleclip::cuda::prepare_backward(
          from.const_data_ptr(), seen.defined() ? seen.const_data_ptr() : nullptr, sides.terms(),
          grad_x.mutable_data_ptr(), image_of(grad_x), styleclip::current_stream(grad)),
      "conv2d_backward");
  return grad_x;
}

}  // namespace

TORCH_LIBRARY_IMPL(styleclip_rt, STYLECLIP_CUDA_KEY, library) {
  library.impl("conv2d", conv2d_cuda);
  library.impl("conv2d_backward", conv2d_backward_cuda);
}
