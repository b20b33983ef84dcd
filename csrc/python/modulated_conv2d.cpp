// modulated_conv2d on arrays.
#include "kernels/cpu/modulated_conv2d.h"

#include <algorithm>
#include <limits>

#include "kernels/cpu/bands.h"
#include "kernels/cpu/heuristics.h"
#include "python/arrays.h"
#include "python/ops.h"
#include "python/packed_weight.h"
#include "python/parallel.h"

namespace styleclip::python::modulated_conv2d_op {
namespace {

py::object modulated_conv2d_of(const py::object& x_in, PackedWeight& weight,
                               const py::object& style_in, const py::object& factor_in,
                               const py::object& noise_in, double noise_strength,
                               const py::object& bias_in, const py::object& rgb_weight_in,
                               const py::object& rgb_style_in, bool up, double slope, double gain,
                               std::optional<double> clamp) {
  const char* op = "modulated_conv2d";
  const Array x(op, "x", x_in);
  x.need_dimensions(4, "[N, I, H, W]");
  x.need_channels_last();
  if (x.shape(1) != weight.inputs) {
    throw py::value_error(
        text(op, ": x has ", x.shape(1), " channels, the weight takes ", weight.inputs));
  }
  if (up && weight.kernel != 3) throw py::value_error(text(op, " upsamples with 3x3 kernels only"));
  if (rgb_weight_in.is_none() != rgb_style_in.is_none()) {
    throw py::value_error(text(op, " needs rgb_weight and rgb_style together"));
  }
  check_fault(activation_fault(op, slope, gain, clamp));
  return with_type(x, [&](auto* type) -> py::object {
    using S = std::remove_pointer_t<decltype(type)>;
    using C = typename ComputeType<S>::type;
    const std::int64_t n = x.shape(0), outputs = weight.outputs;
    const std::int64_t height = x.shape(2) * (up ? 2 : 1), width = x.shape(3) * (up ? 2 : 1);
    std::vector<Array> keep;
    ModulatedConv<S> layer{};
    layer.in_channels = weight.inputs;
    layer.out_channels = outputs;
    layer.height = x.shape(2);
    layer.width = x.shape(3);
    layer.kernel = weight.kernel;
    layer.up = up;
    layer.tile =
        winograd_tile(layer.in_channels, outputs, layer.height, layer.width, layer.kernel, up);
    layer.slope = static_cast<C>(slope);
    layer.gain = static_cast<C>(gain);
    layer.clamp = clamp ? static_cast<C>(*clamp) : std::numeric_limits<C>::infinity();
    layer.x = x.data<S>();
    layer.weight =
        weight.data<S>(op, "weight", up ? PackedFor::forward_up : PackedFor::forward, layer.tile);
    layer.style = side<S>(op, "style", style_in, {n, weight.inputs}, keep);
    if (layer.style == nullptr) throw py::type_error(text(op, " needs a style"));
    layer.factor = side<S>(op, "factor", factor_in, {n, outputs}, keep);
    layer.noise = side<S>(op, "noise", noise_in, {1, 1, height, width}, keep);
    layer.noise_strength = static_cast<C>(noise_strength);
    layer.bias = side<S>(op, "bias", bias_in, {outputs}, keep);
    layer.rgb_weight = side<S>(op, "rgb_weight", rgb_weight_in, {3, outputs}, keep);
    layer.rgb_style = side<S>(op, "rgb_style", rgb_style_in, {n, outputs}, keep);
    NewImage<S> y(x.dtype(), n, outputs, height, width, true);
    const bool draws = layer.rgb_weight != nullptr;
    NewImage<C> rgb(py::dtype::of<C>(), draws ? n : 0, 3, height, width, false);
    if (y.memory.size() > 0) {
      const ModulatedConvOutputs<S> out{y.data(), draws ? rgb.data() : nullptr};
      const auto& kernels = modulated_conv2d_kernels<S>();
      const py::gil_scoped_release others_may_run;
      Bands(n, layer.height, threads())
          .each(parallel, [&](std::int64_t i, std::int64_t, std::int64_t begin, std::int64_t end) {
            kernels.forward(layer, out, i, begin, end);
          });
    } else if (draws) {
      // Without outputs the image is a sum of nothing.
      std::fill(rgb.data(), rgb.data() + rgb.memory.size(), C(0));
    }
    return py::make_tuple(y.get(), draws ? rgb.get() : py::object(py::none()));
  });
}

void add(py::module_& module) {
  using namespace py::literals;
  module.def("modulated_conv2d", &modulated_conv2d_of, "x"_a, "weight"_a, "style"_a,
             "factor"_a = py::none(), "noise"_a = py::none(), "noise_strength"_a = 0.0,
             "bias"_a = py::none(), "rgb_weight"_a = py::none(), "rgb_style"_a = py::none(),
             "up"_a = false, "slope"_a = 1.0, "gain"_a = 1.0, "clamp"_a = py::none(),
             "StyleGAN2's layer, as styleclip_rt.ops.modulated_conv2d.");
}
const RegisterOp registered(add);

}  // namespace
}  // namespace styleclip::python::modulated_conv2d_op
