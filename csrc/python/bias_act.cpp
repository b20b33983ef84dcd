// bias_act on arrays.
#include "kernels/cpu/bias_act.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/heuristics.h"
#include "python/arrays.h"
#include "python/ops.h"
#include "python/parallel.h"

namespace styleclip::python::bias_act_op {
namespace {

// A new array of the shape and memory order of `x`.
py::array new_like(const Array& x, bool last) {
  if (!last) return {x.dtype(), x.shape()};
  return {x.dtype(), Shape{x.shape(0), x.shape(2), x.shape(3), x.shape(1)}};
}

py::object bias_act_of(const py::object& x_in, const py::object& bias_in, double slope, double gain,
                       std::optional<double> clamp) {
  const char* op = "bias_act";
  const Array x(op, "x", x_in);
  if (x.dimensions() < 2) {
    throw py::value_error(text(op, " needs x [N, C, ...], got ", x.dimensions(), " dimensions"));
  }
  check_fault(activation_fault(op, 1.0, gain, clamp));
  const bool last = lies_channels_last(x);
  return with_type(x, [&](auto* type) -> py::object {
    using S = std::remove_pointer_t<decltype(type)>;
    using C = typename ComputeType<S>::type;
    std::vector<Array> keep;
    const C* bias = side<S>(op, "bias", bias_in, {x.shape(1)}, keep);
    py::array y = new_like(x, last);
    if (x.size() > 0) {
      const std::int64_t inner = last ? 1 : x.size() / (x.shape(0) * x.shape(1));
      const BiasAct<S> a{bias,
                         x.shape(1),
                         inner,
                         static_cast<C>(slope),
                         static_cast<C>(gain),
                         clamp ? static_cast<C>(*clamp) : std::numeric_limits<C>::infinity()};
      const std::int64_t row = inner == 1 ? a.channels : inner;
      const S* from = x.data<S>();
      S* to = static_cast<S*>(y.mutable_data());
      const auto& kernels = bias_act_kernels<S>();
      const py::gil_scoped_release others_may_run;
      parallel(x.size() / row, row_grain(row), [&](std::int64_t begin, std::int64_t end) {
        kernels.forward(a, from, to, begin, end);
      });
    }
    if (!last) return y;
    return y.attr("transpose")(0, 3, 1, 2);
  });
}

void add(py::module_& module) {
  using namespace py::literals;
  module.def("bias_act", &bias_act_of, "x"_a, "bias"_a = py::none(), "slope"_a = 0.2,
             "gain"_a = std::sqrt(2.0), "clamp"_a = py::none(),
             "clamp(gain * leaky_relu(x + bias)), as styleclip_rt.ops.bias_act.");
}
const RegisterOp registered(add);

}  // namespace
}  // namespace styleclip::python::bias_act_op
