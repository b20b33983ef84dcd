// Does the harness find what it is for? A small kernel, transposing 8 x 8 tiles through shared
// memory, with one bug of the kind that is named on the command line.
#include <string_view>

#include "check.h"

using namespace styleclip::cuda;
using check::Buffer;

enum Bug {
  kNone,
  kOffByOne,
  kSharedOffByOne,
  kMissingBarrier,
  kMissingSecondBarrier,
  kBarrierNotReached,
  kWrongStride,
  kMisaligned,
  kUnwritten,
  kOrderOfBlocks,
};

constexpr const char* kNames[] = {"none",
                                  "off_by_one",
                                  "shared_off_by_one",
                                  "missing_barrier",
                                  "missing_second_barrier",
                                  "barrier_not_reached",
                                  "wrong_stride",
                                  "misaligned",
                                  "unwritten",
                                  "order_of_blocks"};

constexpr int kTile = 8;

__global__ void transpose(const float* x, float* out, int size, Bug bug) {
  auto tile = shared_memory<float>();
  const int row = static_cast<int>(threadIdx.y), column = static_cast<int>(threadIdx.x);
  const int stride = bug == kSharedOffByOne ? kTile + 1 : kTile;
  const int top = static_cast<int>(blockIdx.y) * kTile, left = static_cast<int>(blockIdx.x) * kTile;
  const int width = bug == kWrongStride ? size - 1 : size;
  const int shift = bug == kOffByOne;
  for (int pass = 0; pass < 2; ++pass) {
    const float* from = x + (top + row) * width + left + column;
    tile[row * stride + column] = bug == kMisaligned ? load<4>(from)[0] : from[shift];
    if (bug == kBarrierNotReached && row == 3) return;
    if (bug != kMissingBarrier) __syncthreads();
    const bool follows = bug == kOrderOfBlocks && blockIdx.x + blockIdx.y > 0;
    float& to = out[(left + row) * size + top + column];
    if (bug != kUnwritten || row < kTile - 1)
      to = follows && out[0] == out[0] ? 1.0f : tile[column * stride + row];
    if (bug != kMissingSecondBarrier) __syncthreads();
  }
}

int main(int count, char** arguments) {
  const std::string_view name = count > 1 ? arguments[1] : "none";
  int bug = 0;
  while (kNames[bug] != name) ++bug;
  constexpr int kSize = 3 * kTile;
  const auto x = Buffer<float>::normal(kSize * kSize);
  Buffer<float> out(kSize * kSize);
  check::run(
      "transpose",
      [&] {
        return launch(&transpose, dim3(3, 3), dim3(kTile, kTile), kTile * kTile * sizeof(float),
                      nullptr, x.data(), out.data(), kSize, static_cast<Bug>(bug));
      },
      out);
  for (int i = 0; i < kSize; ++i)
    for (int j = 0; j < kSize; ++j) {
      check::equal<float>("transpose", out[j * kSize + i], x[i * kSize + j], 1.0, 0.0);
    }
  return check::report("transpose");
}
