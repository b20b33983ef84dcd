// The instruction sets that the kernels are compiled for, and which one runs.
//
// The hot loops need more than the compiler's own cloning offers (bf16 dot products, register
// tiles that fit the register file), so an op's source is compiled once for each set below, in a
// namespace of its own (STYLECLIP_ISA), and the best one is taken at run time.
#pragma once

#include "simd_types.h"

namespace styleclip {

enum class Isa { baseline, avx2, avx512, avx512_bf16 };

// The best set that this processor and this build have. STYLECLIP_RT_ISA (baseline, avx2, avx512)
// in the environment lowers it, for tests and comparisons.
Isa best_isa();

const char* name(Isa isa);

}  // namespace styleclip

// What an op's source gives to other sources is a table of function pointers, Kernels<S> for
// activations of type S. This declares `kernels<S>()`: each set's in its namespace, which the
// source defines and instantiates, and the best one's, which others call.
#define STYLECLIP_KERNELS_OF(isa, Kernels, kernels) \
  namespace isa {                                   \
  template <class S>                                \
  const Kernels<S>& kernels();                      \
  }
#ifdef STYLECLIP_MULTI_ISA
#define STYLECLIP_KERNELS(Kernels, kernels)           \
  STYLECLIP_KERNELS_OF(baseline, Kernels, kernels)    \
  STYLECLIP_KERNELS_OF(avx2, Kernels, kernels)        \
  STYLECLIP_KERNELS_OF(avx512, Kernels, kernels)      \
  STYLECLIP_KERNELS_OF(avx512_bf16, Kernels, kernels) \
  template <class S>                                  \
  const Kernels<S>& kernels() {                       \
    switch (best_isa()) {                             \
      case Isa::avx512_bf16:                          \
        return avx512_bf16::kernels<S>();             \
      case Isa::avx512:                               \
        return avx512::kernels<S>();                  \
      case Isa::avx2:                                 \
        return avx2::kernels<S>();                    \
      default:                                        \
        return baseline::kernels<S>();                \
    }                                                 \
  }
#else
#define STYLECLIP_KERNELS(Kernels, kernels)        \
  STYLECLIP_KERNELS_OF(baseline, Kernels, kernels) \
  template <class S>                               \
  const Kernels<S>& kernels() {                    \
    return baseline::kernels<S>();                 \
  }
#endif

#define STYLECLIP_INSTANTIATE(Kernels, kernels)      \
  template const Kernels<float>& kernels<float>();   \
  template const Kernels<double>& kernels<double>(); \
  template const Kernels<BFloat16>& kernels<BFloat16>();
