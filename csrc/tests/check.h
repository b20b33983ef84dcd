// What the kernels' tests share: exactly sized buffers, random problems, schedules and comparison.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/vector.cuh"

namespace check {

using styleclip::cuda::Dtype;

template <class T>
constexpr Dtype kDtype = std::is_same_v<T, float>    ? Dtype::kFloat32
                         : std::is_same_v<T, __half> ? Dtype::kFloat16
                                                     : Dtype::kBFloat16;

// The rounding error of one operation in T, relative.
template <class T>
constexpr double kEpsilon = std::is_same_v<T, float>    ? 0x1p-24
                            : std::is_same_v<T, __half> ? 0x1p-11
                                                        : 0x1p-8;

// Below it the spacing of numbers no longer shrinks.
template <class T>
constexpr double kSmallestNormal = std::is_same_v<T, __half> ? 0x1p-14 : 0x1p-126;

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::fflush(nullptr);
  std::_Exit(1);
}

inline std::mt19937& random() {
  static std::mt19937 generator(20);
  return generator;
}

inline int integer(int low, int high) { return std::uniform_int_distribution(low, high)(random()); }

// A device buffer that holds what is asked for and not a byte more, so that the sanitizer sees
// every access beyond it. Full of NaN until it is written.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t size, std::size_t misalign = 0)
      : size_(size), misalign_(misalign), values_(new T[size + misalign]) {
    poison();
  }

  static Buffer normal(std::size_t size, std::size_t misalign = 0, double deviation = 1.0) {
    Buffer buffer(size, misalign);
    std::normal_distribution<double> normal(0.0, deviation);
    for (std::size_t i = 0; i < size; ++i) buffer.set(i, normal(random()));
    return buffer;
  }

  void poison() {
    std::memset(static_cast<void*>(values_.get()), 0xFF, bytes() + misalign_ * sizeof(T));
  }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  T* data() { return values_.get() + misalign_; }
  const T* data() const { return values_.get() + misalign_; }
  double operator[](std::size_t i) const { return styleclip::cuda::to_float(data()[i]); }
  void set(std::size_t i, double value) {
    data()[i] = styleclip::cuda::from_float<T>(static_cast<float>(value));
  }

 private:
  std::size_t size_, misalign_;
  std::unique_ptr<T[]> values_;
};

// Runs `queue` under several schedules; each must write the same bytes to every output.
template <class Queue, class... Outputs>
void run(const std::string& name, const Queue& queue, Outputs&... outputs) {
  std::vector<std::vector<char>> first;
  for (const unsigned schedule : {0u, 1u, 2u, 3u}) {
    simt::set_schedule(schedule);
    (outputs.poison(), ...);
    if (const char* error = queue()) fail(name + ": " + error);
    std::vector<std::vector<char>> now;
    (now.emplace_back(reinterpret_cast<const char*>(outputs.data()),
                      reinterpret_cast<const char*>(outputs.data()) + outputs.bytes()),
     ...);
    if (first.empty()) first = now;
    if (first != now) fail(name + ": the result depends on the order of threads or blocks");
  }
}

// Worst error of a test program, in roundings of the type.
inline double worst = 0.0;

// |got - expected| <= roundings * epsilon(T) * scale, where scale is the size of what was summed.
template <class T>
void equal(const std::string& name, double got, double expected, double scale, double roundings) {
  const double error =
      std::fabs(got - expected) / (kEpsilon<T> * std::max(scale, kSmallestNormal<T>));
  if (!(error <= roundings)) {
    fail(name + ": got " + std::to_string(got) + " instead of " + std::to_string(expected) + ", " +
         std::to_string(error) + " roundings off");
  }
  worst = std::max(worst, error);
}

template <class Test>
void with_each_type(const Test& test) {
  test.template operator()<float>();
  test.template operator()<__half>();
  test.template operator()<__nv_bfloat16>();
}

inline int report(const char* name) {
  std::printf("%s: %zu threads in %zu blocks; worst error %.2f roundings\n", name,
              simt::threads_run(), simt::blocks_run(), worst);
  return 0;
}

}  // namespace check
