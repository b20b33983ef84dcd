// Upsampling, padding, FIR filtering and downsampling of every channel for itself.
#pragma once

#include "launch.h"

namespace styleclip::cuda {

// The output is [out_height, out_width] = (in * up + padding - taps) / down + 1 a side; padding
// counts samples of the upsampled image and crops where negative. The filter is convolved, that is
// flipped against a correlation, unless `flip`. Contiguous or channels-last, both sides alike.
struct Upfirdn2d {
  std::int64_t batch, channels, height, width;
  std::int64_t out_height, out_width;
  int up, down;
  int left, top;
  int taps_y, taps_x;
  bool flip;
  float gain;
  Layout layout;
  Dtype dtype;
};

// Floats of workspace that `upfirdn2d` needs: none where it applies the filter as it is, some where
// two filters, down and across, would be less work.
std::int64_t upfirdn2d_workspace(const Upfirdn2d& problem);

// `kernel` [taps_y, taps_x] float32 on the device. With a workspace the device finds out by itself
// whether the kernel is an outer product, and then filters down and across.
const char* upfirdn2d(const void* x, const float* kernel, float* workspace, void* out,
                      const Upfirdn2d& problem, Stream stream);

}  // namespace styleclip::cuda
