// Emulates a CUDA grid on one CPU thread, so that the kernels' sources can run under the host's
// sanitizers.
//
// Every CUDA thread is a fibre, and one block runs at a time. A fibre runs until it meets a barrier
// or a shuffle, where a scheduler picks the next; which one, and in which order blocks run, the
// schedule says. A kernel that leans on an order gives different results under different schedules.
//
// What it finds: reads and writes out of bounds (AddressSanitizer, also at the end of the shared
// memory that the launch asked for), misaligned vector accesses and overflows (UBSan), two threads
// of a block that touch one word of shared memory between two barriers and one of them writes,
// shared memory read before it is written, barriers that not all threads reach, shuffles of lanes
// that have left, and launches outside of the hardware's limits. It says nothing about speed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace simt {

// In which order threads and blocks run: ascending, descending, or drawn from a seed above 1.
enum Schedule : unsigned { kAscending = 0, kDescending = 1 };
void set_schedule(unsigned schedule);

// Runs `body` once a thread of the grid. Returns "" or what was wrong with the launch.
std::string launch(dim3 grid, dim3 block, std::size_t shared_bytes,
                   const std::function<void()>& body);

// Blocks and threads run since the program started.
std::size_t blocks_run();
std::size_t threads_run();

// Prints what the kernel did wrong, with the thread that did it, and ends the program.
[[noreturn]] void fail(const char* what);

void barrier(const char* file, int line);
std::uint32_t shuffle(std::uint32_t value, unsigned source_lane, unsigned mask);
unsigned lane();

std::byte* shared_base();
std::size_t shared_size();
void note_shared_read(std::size_t byte, std::size_t bytes);
void note_shared_write(std::size_t byte, std::size_t bytes);

// One element of shared memory; every access is checked.
template <class T>
class SharedCell {
 public:
  explicit SharedCell(std::size_t byte) : byte_(byte) {}
  operator T() const {
    note_shared_read(byte_, sizeof(T));
    return *address();
  }
  SharedCell& operator=(const T& value) {
    note_shared_write(byte_, sizeof(T));
    *address() = value;
    return *this;
  }
  SharedCell& operator=(const SharedCell& other) { return *this = static_cast<T>(other); }
  SharedCell& operator+=(const T& value) { return *this = static_cast<T>(*this) + value; }

 private:
  T* address() const { return reinterpret_cast<T*>(shared_base() + byte_); }
  std::size_t byte_;
};

// Stands in for a T* into the shared memory of the block.
template <class T>
class SharedPointer {
 public:
  explicit SharedPointer(std::ptrdiff_t index = 0) : index_(index) {}
  SharedCell<T> operator[](std::ptrdiff_t i) const {
    const std::ptrdiff_t byte = (index_ + i) * static_cast<std::ptrdiff_t>(sizeof(T));
    if (byte < 0 || byte + sizeof(T) > shared_size()) fail("shared memory accessed out of bounds");
    return SharedCell<T>(static_cast<std::size_t>(byte));
  }
  SharedPointer operator+(std::ptrdiff_t i) const { return SharedPointer(index_ + i); }

 private:
  std::ptrdiff_t index_;
};

template <class T>
SharedPointer<T> shared_memory() {
  return SharedPointer<T>();
}

template <class T>
T shuffle_any(T value, unsigned source_lane, unsigned mask) {
  static_assert(sizeof(T) == 4 && std::is_trivially_copyable_v<T>);
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  bits = shuffle(bits, source_lane, mask);
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

}  // namespace simt
