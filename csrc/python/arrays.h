// NumPy arrays, and whatever else speaks DLPack, as the kernels read them: where they lie.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/cpu/simd_types.h"
#include "kernels/faults.h"

namespace styleclip::python {

namespace py = pybind11;

using Shape = std::vector<std::int64_t>;

inline std::string text_of(const Shape& shape) {
  std::string all;
  for (const std::int64_t side : shape) all += (all.empty() ? "" : ", ") + std::to_string(side);
  return '[' + all + ']';
}

// Raises what faults.h found.
inline void check_fault(const std::string& fault) {
  if (!fault.empty()) throw py::value_error(fault);
}

// An argument by its name, for messages. Nothing is copied: what does not lie as the kernels need
// it is refused.
class Array {
 public:
  Array(const char* op, const char* name, const py::handle& object) : op_(op), name_(name) {
    if (py::isinstance<py::array>(object)) {
      array_ = py::reinterpret_borrow<py::array>(object);
    } else if (py::hasattr(object, "__dlpack__")) {
      array_ = py::module_::import("numpy").attr("from_dlpack")(object);
    } else {
      throw py::type_error(text(op, ": ", name, " must be a NumPy array or speak DLPack, not ",
                                std::string(py::str(py::type::of(object).attr("__name__")))));
    }
    if (!is<float>() && !is<double>() && !is<BFloat16>()) {
      throw py::type_error(
          text(op, ": ", name, " is ", type(), ", not float32, float64 or ml_dtypes' bfloat16"));
    }
    if ((array_.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) == 0) {
      throw py::value_error(
          text(op, ": ", name, " does not begin where its type may: give ", name, ".copy()"));
    }
    check_fault(sizes_fault(op, name, shape()));
  }

  template <class S>
  bool is() const {
    // NumPy has no bfloat16 of its own; the one of ml_dtypes is known by its name.
    if constexpr (std::is_same_v<S, BFloat16>) {
      return array_.itemsize() == sizeof(S) && type() == "bfloat16";
    } else {
      return py::isinstance<py::array_t<S>>(array_);
    }
  }

  template <class S>
  void need() const {
    if (is<S>()) return;
    throw py::type_error(text(op_, ": ", name_, " is ", type(), " where ",
                              std::string(py::str(py::dtype::of<S>())), " fits"));
  }

  py::dtype dtype() const { return array_.dtype(); }
  std::string type() const { return py::str(array_.dtype()); }

  Shape shape() const { return {array_.shape(), array_.shape() + array_.ndim()}; }
  std::int64_t shape(int dimension) const { return array_.shape(dimension); }
  int dimensions() const { return static_cast<int>(array_.ndim()); }
  std::int64_t size() const { return array_.size(); }

  bool contiguous() const { return (array_.flags() & py::array::c_style) != 0; }

  // [N, C, H, W] whose memory is [N, H, W, C].
  bool channels_last() const {
    if (dimensions() != 4) return false;
    if (size() == 0) return true;
    std::int64_t stride = array_.itemsize();
    for (const int dimension : {1, 3, 2, 0}) {
      if (shape(dimension) != 1 && array_.strides(dimension) != stride) return false;
      stride *= shape(dimension);
    }
    return true;
  }

  void need_dimensions(int count, const char* meaning) const {
    if (dimensions() == count) return;
    throw py::value_error(
        text(op_, " needs ", name_, " ", meaning, ", got ", dimensions(), " dimensions"));
  }

  void need_contiguous() const {
    if (contiguous()) return;
    throw py::value_error(
        text(op_, ": ", name_, " is not contiguous: give numpy.ascontiguousarray(", name_, ")"));
  }

  void need_channels_last() const {
    if (channels_last()) return;
    throw py::value_error(text(op_, ": ", name_,
                               " does not lie channels last: give numpy.ascontiguousarray(", name_,
                               ".transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)"));
  }

  template <class S>
  const S* data() const {
    return static_cast<const S*>(array_.data());
  }

 private:
  const char* op_;
  const char* name_;
  py::array array_;
};

// Whether activations lie channels last; they must lie one way or the other.
inline bool lies_channels_last(const Array& x) {
  if (x.contiguous()) return false;
  if (!x.channels_last()) x.need_contiguous();
  return true;
}

// Something beside activations S, contiguous, of the type they compute in and of this shape.
template <class S>
const typename ComputeType<S>::type* side(const char* op, const char* name,
                                          const py::object& object, const Shape& shape,
                                          std::vector<Array>& keep) {
  using C = typename ComputeType<S>::type;
  if (object.is_none()) return nullptr;
  const Array& array = keep.emplace_back(op, name, object);
  array.need<C>();
  if (array.shape() != shape) {
    throw py::value_error(text(op, ": ", name, " has shape ", text_of(array.shape()), " where ",
                               text_of(shape), " fits"));
  }
  array.need_contiguous();
  return array.data<C>();
}

// Calls `run` with a null pointer of the array's element type.
template <class Run>
py::object with_type(const Array& array, const Run& run) {
  if (array.is<float>()) return run(static_cast<float*>(nullptr));
  if (array.is<BFloat16>()) return run(static_cast<BFloat16*>(nullptr));
  return run(static_cast<double*>(nullptr));
}

// An array of a shape that a computer can count the bytes of; pybind11 takes that for granted.
inline py::array new_array(const py::dtype& dtype, const Shape& shape) {
  std::int64_t bytes = dtype.itemsize();
  for (const std::int64_t side : shape) {
    if (__builtin_mul_overflow(bytes, std::max<std::int64_t>(side, 1), &bytes)) {
      throw py::value_error(text("a result of shape ", text_of(shape), " is too large"));
    }
  }
  return {dtype, shape};
}

// A new array [N, C, H, W] whose memory is [N, H, W, C] or, not channels last, as its shape says.
template <class S>
struct NewImage {
  py::array memory;
  bool channels_last;

  NewImage(const py::dtype& dtype, std::int64_t n, std::int64_t channels, std::int64_t height,
           std::int64_t width, bool last)
      : memory(new_array(
            dtype, last ? Shape{n, height, width, channels} : Shape{n, channels, height, width})),
        channels_last(last) {}

  S* data() { return static_cast<S*>(memory.mutable_data()); }
  py::object get() const {
    if (!channels_last) return memory;
    return memory.attr("transpose")(0, 3, 1, 2);
  }
};

}  // namespace styleclip::python
