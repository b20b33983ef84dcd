// styleclip_rt::idwt2d and dwt2d on CUDA.
#include "kernels/cuda/idwt2d.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "torch/cuda/device.h"

namespace {

using at::Tensor;

// The kernels know channels-last memory alone; an op keeps the layout that it is given.
template <class Launch>
Tensor run(const Tensor& x, const Tensor& out, const char* op, const Launch& launch) {
  if (out.numel() == 0) return out;
  const c10::DeviceGuard guard(x.device());
  const bool last = out.is_contiguous(at::MemoryFormat::ChannelsLast);
  const Tensor target = last ? out : styleclip::empty_channels_last(out.sizes(), out);
  styleclip::check_launch(launch(styleclip::channels_last(x), target), op);
  if (!last) out.copy_(target);
  return out;
}

Tensor idwt2d_cuda(const Tensor& x) {
  const Tensor out = styleclip::checked_outputs<"idwt2d", decltype(idwt2d_cuda)>(x);
  return run(x, out, "idwt2d", [&](const Tensor& wavelets, const Tensor& image) {
    const styleclip::cuda::Haar problem{x.size(0), x.size(1) / 4, x.size(2), x.size(3),
                                        styleclip::dtype_of(x)};
    return styleclip::cuda::idwt2d(wavelets.const_data_ptr(), nullptr, image.mutable_data_ptr(),
                                   problem, styleclip::current_stream(x));
  });
}

Tensor dwt2d_cuda(const Tensor& x) {
  const Tensor out = styleclip::checked_outputs<"dwt2d", decltype(dwt2d_cuda)>(x);
  return run(x, out, "dwt2d", [&](const Tensor& image, const Tensor& wavelets) {
    const styleclip::cuda::Haar problem{x.size(0), x.size(1), x.size(2) / 2, x.size(3) / 2,
                                        styleclip::dtype_of(x)};
    return styleclip::cuda::dwt2d(image.const_data_ptr(), wavelets.mutable_data_ptr(), problem,
                                  styleclip::current_stream(x));
  });
}

}  // namespace

TORCH_LIBRARY_IMPL(styleclip_rt, STYLECLIP_CUDA_KEY, library) {
  library.impl("idwt2d", idwt2d_cuda);
  library.impl("dwt2d", dwt2d_cuda);
}
