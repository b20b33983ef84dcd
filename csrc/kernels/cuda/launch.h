// What every CUDA entry point takes and returns. Needs no CUDA header.
//
// All entry points only queue kernels on the given stream of the current device: they neither
// allocate nor synchronise, so they may be captured in a CUDA graph. They return null, or what CUDA
// said of the launch. Sums run in float32 and in a fixed order, so results repeat bit by bit.
#pragma once

#include <cstdint>

struct CUstream_st;

namespace styleclip::cuda {

using Stream = CUstream_st*;

// Whether what is queued on the stream is being recorded in a graph instead of run.
bool is_capturing(Stream stream);

// Waits for all that is queued on the stream; not for one that is capturing.
void synchronize(Stream stream);

enum class Dtype { kFloat32, kFloat16, kBFloat16 };

// Channels-last stores [N, C, H, W] as N, H, W, C; contiguous as it is written.
enum class Layout { kContiguous, kChannelsLast };

}  // namespace styleclip::cuda
