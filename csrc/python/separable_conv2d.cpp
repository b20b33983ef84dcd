// separable_conv2d on arrays.
#include "kernels/cpu/separable_conv2d.h"

#include "kernels/cpu/bands.h"
#include "python/arrays.h"
#include "python/ops.h"
#include "python/packed_weight.h"
#include "python/parallel.h"

namespace styleclip::python::separable_conv2d_op {
namespace {

py::object separable_conv2d_of(const py::object& x_in, const py::object& style_in,
                               const py::object& up_style_in, const py::object& depthwise_in,
                               PackedWeight& pointwise, const py::object& bias_in,
                               const py::object& noise_in, double slope) {
  const char* op = "separable_conv2d";
  const Array x(op, "x", x_in);
  const bool up = !up_style_in.is_none();
  x.need_dimensions(4, up ? "[N, 4 C, H, W]" : "[N, C, H, W]");
  x.need_channels_last();
  const std::int64_t n = x.shape(0), channels = pointwise.inputs, outputs = pointwise.outputs;
  if (pointwise.kernel != 1) throw py::value_error(text(op, " needs a pointwise weight of 1x1"));
  if (x.shape(1) != channels * (up ? 4 : 1)) {
    throw py::value_error(text(op, ": x has ", x.shape(1), " channels for a pointwise weight of ",
                               channels, up ? " behind a wavelet" : ""));
  }
  check_fault(activation_fault(op, slope, 1.0, {}));
  return with_type(x, [&](auto* type) -> py::object {
    using S = std::remove_pointer_t<decltype(type)>;
    using C = typename ComputeType<S>::type;
    const std::int64_t height = x.shape(2) * (up ? 2 : 1), width = x.shape(3) * (up ? 2 : 1);
    std::vector<Array> keep;
    const SeparableConv<S> layer{
        channels,
        outputs,
        x.shape(2),
        x.shape(3),
        up,
        static_cast<C>(slope),
        x.data<S>(),
        side<S>(op, "style", style_in, {n, channels}, keep),
        side<S>(op, "up_style", up_style_in, {n, 4 * channels}, keep),
        side<S>(op, "depthwise", depthwise_in, {channels, 1, 3, 3}, keep),
        pointwise.data<S>(op, "pointwise", PackedFor::forward, 0),
        side<S>(op, "bias", bias_in, {outputs}, keep),
        side<S>(op, "noise", noise_in, {1, 1, height, width}, keep),
    };
    if (layer.style == nullptr || layer.depthwise == nullptr) {
      throw py::type_error(text(op, " needs a style and a depthwise weight"));
    }
    NewImage<S> y(x.dtype(), n, outputs, height, width, true);
    if (y.memory.size() > 0) {
      S* to = y.data();
      const auto& kernels = separable_conv2d_kernels<S>();
      const py::gil_scoped_release others_may_run;
      Bands(n, layer.height, threads())
          .each(parallel, [&](std::int64_t i, std::int64_t, std::int64_t begin, std::int64_t end) {
            kernels.forward(layer, to, i, begin, end);
          });
    }
    return y.get();
  });
}

void add(py::module_& module) {
  using namespace py::literals;
  module.def("separable_conv2d", &separable_conv2d_of, "x"_a, "style"_a, "up_style"_a,
             "depthwise"_a, "pointwise"_a, "bias"_a = py::none(), "noise"_a = py::none(),
             "slope"_a = 0.2, "MobileStyleGAN's layer, as styleclip_rt.ops.separable_conv2d.");
}
const RegisterOp registered(add);

}  // namespace
}  // namespace styleclip::python::separable_conv2d_op
