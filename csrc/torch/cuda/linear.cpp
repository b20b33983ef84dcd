// styleclip_rt::linear on CUDA: cuBLAS multiplies, by a weight that was cast once.
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <torch/library.h>

#include "torch/cuda/device.h"
#include "torch/cuda/kept_weight.h"

namespace {

using at::Tensor;
using styleclip::OptionalTensor;

Tensor linear_cuda(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                   bool transposed) {
  const Tensor y =
      styleclip::checked_outputs<"linear", decltype(linear_cuda)>(x, weight, bias, transposed);
  if (y.numel() == 0) return y;
  const c10::DeviceGuard guard(x.device());
  const int64_t inputs = x.size(-1), outputs = y.size(-1);
  const Tensor rows = x.reshape({y.numel() / outputs, inputs});
  const Tensor kept = styleclip::kept_matrix(weight, x.scalar_type());
  const Tensor factor = transposed ? kept : kept.t();
  Tensor to = y.view({rows.size(0), outputs});
  if (bias && bias->defined()) {
    at::addmm_out(to, styleclip::kept_matrix(*bias, x.scalar_type()), rows, factor);
  } else {
    at::mm_out(to, rows, factor);
  }
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(styleclip_rt, STYLECLIP_CUDA_KEY, library) {
  library.impl("linear", linear_cuda);
}
