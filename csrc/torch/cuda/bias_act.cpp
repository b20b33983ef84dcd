// styleclip_rt::bias_act and its gradient on CUDA.
#include "kernels/cuda/bias_act.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "torch/cuda/device.h"

namespace {

using at::Tensor;
using styleclip::OptionalTensor;
using MaybeDouble = std::optional<double>;

// Runs `launch` on `x` and `other` in whichever of the two layouts `out` has.
template <class Launch>
Tensor run(const Tensor& x, const Tensor& other, const Tensor& out, double slope, double gain,
           const MaybeDouble& clamp, const char* op, const Launch& launch) {
  if (out.numel() == 0) return out;
  const c10::DeviceGuard guard(x.device());
  const bool last = out.dim() == 4 && out.is_contiguous(at::MemoryFormat::ChannelsLast);
  const auto format = last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  const Tensor target = out.is_contiguous(format) ? out : at::empty(out.sizes(), out.options());
  const int64_t channels = x.size(1);
  const styleclip::cuda::BiasAct problem{x.numel(),
                                         channels,
                                         last ? 1 : x.numel() / (x.size(0) * channels),
                                         static_cast<float>(slope),
                                         static_cast<float>(gain),
                                         styleclip::limit<float>(clamp),
                                         styleclip::dtype_of(x)};
  const Tensor dense = x.contiguous(format);
  const Tensor second = other.defined() ? other.contiguous(format) : Tensor();
  styleclip::check_launch(launch(dense, second, target, problem), op);
  if (!target.is_same(out)) out.copy_(target);
  return out;
}

Tensor bias_act_cuda(const Tensor& x, const OptionalTensor& bias, double slope, double gain,
                     MaybeDouble clamp) {
  const Tensor out =
      styleclip::checked_outputs<"bias_act", decltype(bias_act_cuda)>(x, bias, slope, gain, clamp);
  const Tensor shift = styleclip::side_input(bias);
  return run(x, Tensor(), out, slope, gain, clamp, "bias_act",
             [&](const Tensor& from, const Tensor&, const Tensor& to, const auto& problem) {
               return styleclip::cuda::bias_act(from.const_data_ptr(), styleclip::floats(shift),
                                                to.mutable_data_ptr(), problem,
                                                styleclip::current_stream(x));
             });
}

Tensor bias_act_backward_cuda(const Tensor& grad, const Tensor& y, double slope, double gain,
                              MaybeDouble clamp) {
  const Tensor out =
      styleclip::checked_outputs<"bias_act_backward", decltype(bias_act_backward_cuda)>(
          grad, y, slope, gain, clamp);
  return run(grad, y, out, slope, gain, clamp, "bias_act_backward",
             [&](const Tensor& from, const Tensor& made, const Tensor& to, const auto& problem) {
               return styleclip::cuda::bias_act_backward(
                   from.const_data_ptr(), made.const_data_ptr(), to.mutable_data_ptr(), problem,
                   styleclip::current_stream(grad));
             });
}

}  // namespace

TORCH_LIBRARY_IMPL(styleclip_rt, STYLECLIP_CUDA_KEY, library) {
  library.impl("bias_act", bias_act_cuda);
  library.impl("bias_act_backward", bias_act_backward_cuda);
}
