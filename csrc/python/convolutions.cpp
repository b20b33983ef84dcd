// modulated_conv2d and separable_conv2d on arrays.
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <tuple>
#include <variant>

#include "arrays.h"
#include "kernels/cpu/bands.h"
#include "kernels/cpu/modulated_conv2d.h"
#include "kernels/cpu/separable_conv2d.h"
#include "ops.h"
#include "parallel.h"

namespace styleclip::python {
namespace {

// A weight [O, I, k, k], and the kernels' own layouts of it, each made when it is first asked for.
class PackedWeight {
 public:
  explicit PackedWeight(const py::object& object) {
    const Array weight("PackedWeight", "weight", object);
    weight.need_dimensions(4, "[O, I, k, k]");
    weight.need_contiguous();
    outputs = weight.shape(0);
    inputs = weight.shape(1);
    kernel = static_cast<int>(weight.shape(2));
    if ((kernel != 1 && kernel != 3) || weight.shape(3) != kernel) {
      throw py::value_error(text("PackedWeight takes kernels of 1x1 and 3x3, got ", weight.shape(2),
                                 "x", weight.shape(3)));
    }
    if (weight.is<BFloat16>()) weight.need<float>();
    if (weight.is<double>()) {
      plain_ = std::vector<double>(weight.data<double>(), weight.data<double>() + weight.size());
    } else {
      plain_ = std::vector<float>(weight.data<float>(), weight.data<float>() + weight.size());
    }
  }

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
      const auto bytes = packed_conv_bytes<S>(inputs, outputs, kernel, use, tile);
      packed.reset(static_cast<char*>(::operator new[](bytes, std::align_val_t{64})));
      pack_conv<S>(plain->data(), inputs, outputs, kernel, use, tile, packed.get());
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
  if (!(slope > 0) || !(gain > 0) || (clamp && !(*clamp > 0))) {
    throw py::value_error(text(op, " needs a positive slope, gain and clamp"));
  }
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
      const py::gil_scoped_release others_may_run;
      Bands(n, layer.height, threads())
          .each(parallel, [&](std::int64_t i, std::int64_t, std::int64_t begin, std::int64_t end) {
            modulated_conv2d(layer, out, i, begin, end);
          });
    }
    return py::make_tuple(y.get(), draws ? rgb.get() : py::object(py::none()));
  });
}

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
  if (!(slope > 0)) throw py::value_error(text(op, " needs a positive slope"));
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
        static_cast<C>(slope),
        x.data<S>(),
        side<S>(op, "style", style_in, {n, channels}, keep),
        side<S>(op, "up_style", up_style_in, {n, 4 * channels}, keep),
        side<S>(op, "depthwise", depthwise_in, {channels, 1, 3, 3}, keep),
        pointwise.data<S>(op, "pointwise", PackedFor::forward, false),
        side<S>(op, "bias", bias_in, {outputs}, keep),
        side<S>(op, "noise", noise_in, {1, 1, height, width}, keep),
    };
    if (layer.style == nullptr || layer.depthwise == nullptr) {
      throw py::type_error(text(op, " needs a style and a depthwise weight"));
    }
    NewImage<S> y(x.dtype(), n, outputs, height, width, true);
    if (y.memory.size() > 0) {
      S* to = y.data();
      const py::gil_scoped_release others_may_run;
      Bands(n, layer.height, threads())
          .each(parallel, [&](std::int64_t i, std::int64_t, std::int64_t begin, std::int64_t end) {
            separable_conv2d(layer, to, i, begin, end);
          });
    }
    return y.get();
  });
}

}  // namespace

void add_convolutions(py::module_& module) {
  using namespace py::literals;
  py::class_<PackedWeight>(module, "PackedWeight",
                           "A convolution's weight [O, I, k, k] in the kernels' own layout.")
      .def(py::init<const py::object&>(), "weight"_a)
      .def_property_readonly("shape", [](const PackedWeight& weight) {
        return py::make_tuple(weight.outputs, weight.inputs, weight.kernel, weight.kernel);
      });
  module.def("modulated_conv2d", &modulated_conv2d_of, "x"_a, "weight"_a, "style"_a,
             "factor"_a = py::none(), "noise"_a = py::none(), "noise_strength"_a = 0.0,
             "bias"_a = py::none(), "rgb_weight"_a = py::none(), "rgb_style"_a = py::none(),
             "up"_a = false, "slope"_a = 1.0, "gain"_a = 1.0, "clamp"_a = py::none(),
             "StyleGAN2's layer, as styleclip_rt.ops.modulated_conv2d.");
  module.def("separable_conv2d", &separable_conv2d_of, "x"_a, "style"_a, "up_style"_a,
             "depthwise"_a, "pointwise"_a, "bias"_a = py::none(), "noise"_a = py::none(),
             "slope"_a = 0.2, "MobileStyleGAN's layer, as styleclip_rt.ops.separable_conv2d.");
}

}  // namespace styleclip::python
