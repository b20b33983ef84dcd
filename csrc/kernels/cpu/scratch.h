// Working memory of one thread, kept from call to call so that its pages stay mapped.
#pragma once

#include <cstddef>

namespace styleclip {

// At least `bytes`, aligned to 64, contents undefined; valid until the thread asks again.
char* thread_scratch(std::size_t bytes);

// Lays parts of one scratch area out: first sum the sizes, then place the pieces.
class Layout {
 public:
  std::size_t add(std::size_t bytes) {
    const std::size_t offset = size_;
    size_ += (bytes + 63) / 64 * 64;
    return offset;
  }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_ = 0;
};

}  // namespace styleclip
