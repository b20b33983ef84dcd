// Crop, exact area average and normalisation in one pass, and the transpose.
#pragma once

#include "launch.h"

namespace styleclip::cuda {

// An [N, C, H, W] tensor by its strides, in elements.
struct Strides {
  std::int64_t n, c, h, w;
};

// Output pixel (y, x) averages the rectangle [y, y + 1) * crop_height / out_height by
// [x, x + 1) * crop_width / out_width of the crop, border pixels counting by the covered part.
// Products of an image side and an output side must fit in 31 bits.
struct AreaResample {
  std::int64_t batch, channels;
  std::int64_t image_height, image_width;
  std::int64_t top, left, crop_height, crop_width;
  std::int64_t out_height, out_width;
  Strides image, out;
  Dtype dtype;
};

// out = shift[c] + scale[c] * average; `scale` and `shift` [channels] are on the host.
const char* area_resample(const void* image, const float* scale, const float* shift, void* out,
                          const AreaResample& problem, Stream stream);

// grad_image = the transpose of the above applied to grad_out; zero outside of the crop.
const char* area_resample_transpose(const void* grad_out, const float* scale, void* grad_image,
                                    const AreaResample& problem, Stream stream);

}  // namespace styleclip::cuda
