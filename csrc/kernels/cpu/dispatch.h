// Run-time choice of the instruction set, made once by the dynamic loader.
#pragma once

// STYLECLIP_HAS_TARGET_CLONES comes from the build, which tries it. A sanitizer's runtime is not
// up yet when the loader resolves the clones, so such builds stay on the baseline.
#if defined(STYLECLIP_HAS_TARGET_CLONES) && !defined(__SANITIZE_ADDRESS__)
#define STYLECLIP_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define STYLECLIP_SIMD
#endif
