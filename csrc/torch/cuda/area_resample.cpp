// styleclip_rt::area_resample and its transpose on CUDA.
#include "kernels/cuda/area_resample.h"

#include <torch/library.h>

#include <vector>

#include "torch/cuda/device.h"

namespace {

using at::Tensor;
using Doubles = at::ArrayRef<double>;

styleclip::cuda::Strides strides(const Tensor& tensor) {
  return {tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)};
}

styleclip::cuda::AreaResample problem_of(const Tensor& image, at::IntArrayRef crop,
                                         const Tensor& out) {
  const int64_t most = std::numeric_limits<int32_t>::max();
  for (const int axis : {2, 3}) {
    TORCH_CHECK_VALUE((image.size(axis) + 1) * (out.size(axis) + 1) < most,
                      "area_resample on CUDA takes images whose sides multiply to less than 2^31");
  }
  return {image.size(0),
          image.size(1),
          image.size(2),
          image.size(3),
          crop[0],
          crop[1],
          crop[2],
          crop[3],
          out.size(2),
          out.size(3),
          strides(image),
          strides(out),
          styleclip::dtype_of(image)};
}

std::vector<float> scales(int64_t channels, Doubles std) {
  std::vector<float> scale(channels, 1.0f);
  for (size_t c = 0; c < std.size(); ++c) scale[c] = static_cast<float>(1.0 / std[c]);
  return scale;
}

Tensor area_resample_cuda(const Tensor& image, c10::SymIntArrayRef crop_in,
                          c10::SymIntArrayRef size, Doubles mean, Doubles std) {
  const Tensor out = styleclip::checked_outputs<"area_resample", decltype(area_resample_cuda)>(
      image, crop_in, size, mean, std);
  if (out.numel() == 0) return out;
  const auto crop = C10_AS_INTARRAYREF_SLOW(crop_in);
  const c10::DeviceGuard guard(image.device());
  const auto scale = scales(image.size(1), std);
  std::vector<float> shift(scale.size(), 0.0f);
  for (size_t c = 0; c < mean.size(); ++c) shift[c] = static_cast<float>(-mean[c]) * scale[c];
  styleclip::check_launch(
      styleclip::cuda::area_resample(image.const_data_ptr(), scale.data(), shift.data(),
                                     out.mutable_data_ptr(), problem_of(image, crop, out),
                                     styleclip::current_stream(image)),
      "area_resample");
  return out;
}

Tensor area_resample_transpose_cuda(const Tensor& grad, c10::SymIntArrayRef image_size,
                                    c10::SymIntArrayRef crop_in, Doubles std) {
  const Tensor image =
      styleclip::checked_outputs<"area_resample_transpose", decltype(area_resample_transpose_cuda)>(
          grad, image_size, crop_in, std);
  if (image.numel() == 0) return image;
  const auto crop = C10_AS_INTARRAYREF_SLOW(crop_in);
  const c10::DeviceGuard guard(grad.device());
  const auto scale = scales(grad.size(1), std);
  styleclip::check_launch(styleclip::cuda::area_resample_transpose(
                              grad.const_data_ptr(), scale.data(), image.mutable_data_ptr(),
                              problem_of(image, crop, grad), styleclip::current_stream(grad)),
                          "area_resample_transpose");
  return image;
}

}  // namespace

TORCH_LIBRARY_IMPL(styleclip_rt, STYLECLIP_CUDA_KEY, library) {
  library.impl("area_resample", area_resample_cuda);
  library.impl("area_resample_transpose", area_resample_transpose_cuda);
}
