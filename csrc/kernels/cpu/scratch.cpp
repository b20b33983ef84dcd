#include "scratch.h"

#include <algorithm>
#include <memory>
#include <new>

namespace styleclip {
namespace {

struct Free {
  void operator()(char* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
};

}  // namespace

char* thread_scratch(std::size_t bytes) {
  thread_local std::unique_ptr<char[], Free> memory;
  thread_local std::size_t capacity = 0;
  if (bytes > capacity || memory == nullptr) {
    bytes = std::max<std::size_t>(bytes, 64);
    memory.reset();
    capacity = 0;
    memory.reset(static_cast<char*>(::operator new[](bytes, std::align_val_t{64})));
    capacity = bytes;
  }
  return memory.get();
}

}  // namespace styleclip
