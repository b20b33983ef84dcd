// What the CUDA registrations share. Needs no CUDA headers, so that they compile beside any torch.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>

#include <utility>

#include "kernels/cuda/launch.h"
#include "torch/op.h"
#include "torch/side_inputs.h"

// A test puts the registrations in the place of the CPU's and runs them on emulated kernels.
#ifndef STYLECLIP_CUDA_KEY
#define STYLECLIP_CUDA_KEY CUDA
#endif

// Part of torch's C interface, which stays binary compatible; libtorch_cuda has it.
extern "C" std::int32_t aoti_torch_get_current_cuda_stream(std::int32_t device_index,
                                                           void** ret_stream);

namespace styleclip {

inline cuda::Stream current_stream(const at::Tensor& tensor) {
  void* stream = nullptr;
  TORCH_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device(), &stream) == 0,
              "torch has no current CUDA stream for ", tensor.device());
  return static_cast<cuda::Stream>(stream);
}

inline cuda::Dtype dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return cuda::Dtype::kFloat32;
    case at::kHalf:
      return cuda::Dtype::kFloat16;
    case at::kBFloat16:
      return cuda::Dtype::kBFloat16;
    default:
      TORCH_CHECK_TYPE(false,
                       "styleclip_rt's CUDA kernels take float32, float16 and bfloat16, not ",
                       tensor.scalar_type());
  }
}

inline void check_launch(const char* error, const char* op) {
  TORCH_CHECK(error == nullptr, "CUDA could not start ", op, ": ", error);
}

// A side input as the kernels read it: dense float32. Undefined for none.
inline at::Tensor side_input(const OptionalTensor& side) { return wide_side(side, at::kFloat); }

// Its memory, null for none; keep the tensor while that is used.
inline const float* floats(const at::Tensor& side) { return pointer<float>(side); }

inline at::Tensor empty_channels_last(at::IntArrayRef sizes, const at::Tensor& like) {
  return at::empty(sizes, like.options(), at::MemoryFormat::ChannelsLast);
}

// Runs the op's Meta kernel, which checks the arguments and allocates what the op returns: its
// options come from the arguments, so that here it allocates on the GPU.
template <OpName name, class Signature, class... Arguments>
auto checked_outputs(Arguments&&... arguments) {
  return op<name, Signature>().redispatch(c10::DispatchKeySet(c10::DispatchKey::Meta),
                                          std::forward<Arguments>(arguments)...);
}

}  // namespace styleclip
