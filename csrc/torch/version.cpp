// styleclip_rt::version: of this library, for files that were made with the ops of one version.
#include <torch/library.h>

#include <string>

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def("version() -> str", []() -> std::string { return STYLECLIP_VERSION; });
}
