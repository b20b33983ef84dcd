#include <cuda_runtime.h>

#include "launch.h"

namespace styleclip::cuda {

bool is_capturing(Stream stream) {
  auto status = cudaStreamCaptureStatusNone;
  return cudaStreamIsCapturing(stream, &status) != cudaSuccess ||
         status != cudaStreamCaptureStatusNone;
}

void synchronize(Stream stream) { static_cast<void>(cudaStreamSynchronize(stream)); }

}  // namespace styleclip::cuda
