// styleclip_rt._native: how the package was built, what this processor offers, and the CPU ops on
// arrays, without torch.
#include <pybind11/pybind11.h>

#include "python/ops.h"
#include "python/parallel.h"

namespace py = pybind11;

namespace {

py::dict build_info() {
  py::dict info;
  info["version"] = STYLECLIP_VERSION;
  info["compiler"] = STYLECLIP_COMPILER;
  info["build_type"] = STYLECLIP_BUILD_TYPE;
  info["torch"] = STYLECLIP_TORCH_VERSION;
#ifdef STYLECLIP_MULTI_ISA
  info["simd_dispatch"] = true;
#else
  info["simd_dispatch"] = false;
#endif
  return info;
}

py::dict cpu_features() {
  py::dict features;
#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
  __builtin_cpu_init();
  features["sse4.2"] = __builtin_cpu_supports("sse4.2") != 0;
  features["avx2"] = __builtin_cpu_supports("avx2") != 0;
  features["fma"] = __builtin_cpu_supports("fma") != 0;
  features["avx512f"] = __builtin_cpu_supports("avx512f") != 0;
  features["avx512bw"] = __builtin_cpu_supports("avx512bw") != 0;
  features["avx512bf16"] = __builtin_cpu_supports("avx512bf16") != 0;
#elif defined(__aarch64__)
  features["neon"] = true;
#endif
  return features;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "styleclip_rt's compiled part without torch: build, processor, ops on arrays.";
  module.def("build_info", &build_info, "How the compiled part was built.");
  module.def("cpu_features", &cpu_features,
             "Instruction sets that the kernels can use, each with whether this processor has it.");
  const py::object given = py::module_::import("styleclip_rt.threads").attr("given")();
  styleclip::python::given_threads = given.attr("number").cast<std::int64_t>();
  for (const auto add : styleclip::python::all_ops()) add(module);
}
