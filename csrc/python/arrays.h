// NumPy arrays, and whatever else speaks DLPack, as the kernels read them: where they lie.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace styleclip::python {

namespace py = pybind11;

using Shape = std::vector<std::int64_t>;

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream all;
  (all << ... << parts);
  return all.str();
}

inline std::string text_of(const Shape& shape) {
  std::ostringstream all;
  all << '[';
  for (std::size_t i = 0; i < shape.size(); ++i) all << (i ? ", " : "") << shape[i];
  return all.str() + ']';
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
    if (!is<float>() && !is<double>()) {
      throw py::type_error(text(op, ": ", name, " is ", std::string(py::str(array_.dtype())),
                                ", not float32 or float64"));
    }
  }

  template <class S>
  bool is() const {
    return py::isinstance<py::array_t<S>>(array_);
  }

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

// Something beside the activations `x`, contiguous, of their type and of this shape.
template <class S>
const S* side(const char* op, const char* name, const py::object& object, const Shape& shape,
              std::vector<Array>& keep) {
  if (object.is_none()) return nullptr;
  const Array& array = keep.emplace_back(op, name, object);
  if (!array.is<S>()) {
    throw py::type_error(text(op, ": ", name, " is not of the activations' type"));
  }
  if (array.shape() != shape) {
    throw py::value_error(text(op, ": ", name, " has shape ", text_of(array.shape()), " where ",
                               text_of(shape), " fits"));
  }
  array.need_contiguous();
  return array.data<S>();
}

// Calls `run` with a null pointer of the array's element type.
template <class Run>
py::object with_type(const Array& array, const Run& run) {
  if (array.is<float>()) return run(static_cast<float*>(nullptr));
  return run(static_cast<double*>(nullptr));
}

// A new array [N, C, H, W] whose memory is [N, H, W, C] or, not channels last, as its shape says.
template <class S>
struct NewImage {
  py::array_t<S> memory;
  bool channels_last;

  NewImage(std::int64_t n, std::int64_t channels, std::int64_t height, std::int64_t width,
           bool last)
      : memory(last ? Shape{n, height, width, channels} : Shape{n, channels, height, width}),
        channels_last(last) {}

  S* data() { return memory.mutable_data(); }
  py::object get() const {
    if (!channels_last) return memory;
    return memory.attr("transpose")(0, 3, 1, 2);
  }
};

}  // namespace styleclip::python
