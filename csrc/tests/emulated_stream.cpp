// Stands in for torch's current CUDA stream: emulated kernels run at once, on none.
#include <cstdint>

extern "C" std::int32_t aoti_torch_get_current_cuda_stream(std::int32_t, void** stream) {
  *stream = nullptr;
  return 0;
}
