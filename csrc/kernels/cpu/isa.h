// The instruction sets that the convolution kernels are compiled for, and which one runs.
//
// The hot loops need more than the compiler's own cloning offers (bf16 dot products, register
// tiles that fit the register file), so their sources are compiled once for each set below, in a
// namespace of its own (STYLECLIP_ISA), and the best one is taken at run time.
#pragma once

namespace styleclip {

enum class Isa { baseline, avx2, avx512, avx512_bf16 };

// The best set that this processor and this build have. STYLECLIP_RT_ISA (baseline, avx2, avx512)
// in the environment lowers it, for tests and comparisons.
Isa best_isa();

const char* name(Isa isa);

}  // namespace styleclip

// Runs `statement` with the namespace `isa` standing for the best set's.
#ifdef STYLECLIP_MULTI_ISA
#define STYLECLIP_BEST(call)          \
  switch (styleclip::best_isa()) {    \
    case styleclip::Isa::avx512_bf16: \
      return avx512_bf16::call;       \
    case styleclip::Isa::avx512:      \
      return avx512::call;            \
    case styleclip::Isa::avx2:        \
      return avx2::call;              \
    default:                          \
      return baseline::call;          \
  }
#else
#define STYLECLIP_BEST(call) return baseline::call
#endif
