#include "python/packed_weight.h"

#include "python/ops.h"

namespace styleclip::python {

PackedWeight::PackedWeight(const py::object& object) {
  const Array weight("PackedWeight", "weight", object);
  weight.need_dimensions(4, "[O, I, k, k]");
  weight.need_contiguous();
  const std::int64_t side = weight.shape(2);
  if ((side != 1 && side != 3) || weight.shape(3) != side) {
    throw py::value_error(
        text("PackedWeight takes kernels of 1x1 and 3x3, got ", side, "x", weight.shape(3)));
  }
  outputs = weight.shape(0);
  inputs = weight.shape(1);
  kernel = static_cast<int>(side);
  if (weight.is<BFloat16>()) weight.need<float>();
  if (weight.is<double>()) {
    plain_ = std::vector<double>(weight.data<double>(), weight.data<double>() + weight.size());
  } else {
    plain_ = std::vector<float>(weight.data<float>(), weight.data<float>() + weight.size());
  }
}

namespace packed_weight_op {
namespace {

void add(py::module_& module) {
  using namespace py::literals;
  py::class_<PackedWeight>(module, "PackedWeight",
                           "A convolution's weight [O, I, k, k] in the kernels' own layout.")
      .def(py::init<const py::object&>(), "weight"_a)
      .def_property_readonly("shape", [](const PackedWeight& weight) {
        return py::make_tuple(weight.outputs, weight.inputs, weight.kernel, weight.kernel);
      });
}
const RegisterOp registered(add);

}  // namespace
}  // namespace packed_weight_op
}  // namespace styleclip::python
