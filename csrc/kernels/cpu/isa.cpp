#include "isa.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace styleclip {
namespace {

Isa supported() {
#ifdef STYLECLIP_MULTI_ISA
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (v4 && __builtin_cpu_supports("avx512bf16")) return Isa::avx512_bf16;
  if (v4) return Isa::avx512;
  if (v3) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa chosen() {
  const Isa most = supported();
  const char* wanted = std::getenv("STYLECLIP_RT_ISA");
  if (wanted == nullptr) return most;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa < most && std::strcmp(wanted, name(isa)) == 0) return isa;
  }
  return most;
}

}  // namespace

Isa best_isa() {
  static const Isa isa = chosen();
  return isa;
}

const char* name(Isa isa) {
  switch (isa) {
    case Isa::avx512_bf16:
      return "avx512_bf16";
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

}  // namespace styleclip
