// styleclip_rt::upfirdn2d on CUDA.
#include "kernels/cuda/upfirdn2d.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <cstdlib>
#include <limits>

#include "torch/cuda/device.h"

namespace {

using at::Tensor;

Tensor upfirdn2d_cuda(const Tensor& x, const Tensor& kernel, c10::SymInt up_in, c10::SymInt down_in,
                      c10::SymIntArrayRef padding_in, double gain, bool flip) {
  const Tensor out = styleclip::checked_outputs<"upfirdn2d", decltype(upfirdn2d_cuda)>(
      x, kernel, up_in, down_in, padding_in, gain, flip);
  if (out.numel() == 0) return out;
  const int64_t up = up_in.expect_int(), down = down_in.expect_int();
  const auto padding = C10_AS_INTARRAYREF_SLOW(padding_in);
  for (const int axis : {0, 1}) {
    const int64_t reach = x.size(2 + axis) * up + std::abs(padding[2 - 2 * axis]) +
                          std::abs(padding[3 - 2 * axis]) + kernel.size(axis) + up + down;
    TORCH_CHECK_VALUE(reach < std::numeric_limits<int>::max(),
                      "upfirdn2d on CUDA takes padded images with sides below 2^31");
  }
  const c10::DeviceGuard guard(x.device());
  const bool last = !out.is_contiguous();
  const Tensor dense =
      x.contiguous(last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
  const Tensor taps = kernel.to(at::kFloat).contiguous();
  const styleclip::cuda::Upfirdn2d problem{
      x.size(0),
      x.size(1),
      x.size(2),
      x.size(3),
      out.size(2),
      out.size(3),
      static_cast<int>(up),
      static_cast<int>(down),
      static_cast<int>(padding[0]),
      static_cast<int>(padding[2]),
      static_cast<int>(taps.size(0)),
      static_cast<int>(taps.size(1)),
      flip,
      static_cast<float>(gain),
      last ? styleclip::cuda::Layout::kChannelsLast : styleclip::cuda::Layout::kContiguous,
      styleclip::dtype_of(x)};
  const int64_t space = styleclip::cuda::upfirdn2d_workspace(problem);
  const Tensor workspace = space > 0 ? at::empty({space}, taps.options()) : Tensor();
  styleclip::check_launch(
      styleclip::cuda::upfirdn2d(dense.const_data_ptr(), taps.const_data_ptr<float>(),
                                 space > 0 ? workspace.mutable_data_ptr<float>() : nullptr,
                                 out.mutable_data_ptr(), problem, styleclip::current_stream(x)),
      "upfirdn2d");
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(styleclip_rt, STYLECLIP_CUDA_KEY, library) {
  library.impl("upfirdn2d", upfirdn2d_cuda);
}
