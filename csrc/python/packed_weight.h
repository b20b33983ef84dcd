// A convolution's weight for the ops on arrays.
#pragma once

#include <map>
#include <memory>
#include <new>
#include <tuple>
#include <variant>
#include <vector>

#include "kernels/cpu/packing.h"
#include "python/arrays.h"

namespace styleclip::python {

// A copy of a weight [O, I, k, k], and the kernels' own layouts of it, each made when it is first
// asked for.
class PackedWeight {
 public:
  explicit PackedWeight(const py::object& object);

  // Called with Python's global lock held, so that two threads do not pack at once.
  template <class S>
  const char* data(const char* op, const char* name, PackedFor use, int tile) {
    using C = typename ComputeType<S>::type;
    const auto* plain = std::get_if<std::vector<C>>(&plain_);
    if (plain == nullptr) {
      throw py::type_error(text(op, ": ", name, " is not of the type that the activations take"));
    }
    auto& packed = packed_[{use, tile, sizeof(S)}];
    if (!packed) {
      const auto& kernels = packing_kernels<S>();
      const auto bytes = kernels.bytes(inputs, outputs, kernel, use, tile);
      packed.reset(static_cast<char*>(::operator new[](bytes, std::align_val_t{64})));
      kernels.pack(plain->data(), inputs, outputs, kernel, use, tile, packed.get());
    }
    return packed.get();
  }

  std::int64_t outputs, inputs;
  int kernel;

 private:
  struct Free {
    void operator()(char* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
  };

  std::variant<std::vector<float>, std::vector<double>> plain_;
  std::map<std::tuple<PackedFor, int, std::size_t>, std::unique_ptr<char[], Free>> packed_;
};

}  // namespace styleclip::python
