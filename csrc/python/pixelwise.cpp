// bias_act, upfirdn2d and idwt2d on arrays.
#include "kernels/cpu/pixelwise.h"

#include <cmath>
#include <limits>
#include <tuple>

#include "arrays.h"
#include "ops.h"
#include "parallel.h"

namespace styleclip::python {
namespace {

using Padding = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

std::int64_t grain(std::int64_t row) { return std::max<std::int64_t>(1, 16384 / (row + 1)); }

// Whether activations lie channels last; they must lie one way or the other.
bool lies_channels_last(const Array& x) {
  if (x.contiguous()) return false;
  if (!x.channels_last()) x.need_contiguous();
  return true;
}

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
  if (!(gain > 0) || (clamp && !(*clamp > 0))) {
    throw py::value_error(text(op, " needs a positive gain and clamp"));
  }
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
      const py::gil_scoped_release others_may_run;
      parallel(x.size() / row, grain(row),
               [&](std::int64_t begin, std::int64_t end) { bias_act(a, from, to, begin, end); });
    }
    if (!last) return y;
    return y.attr("transpose")(0, 3, 1, 2);
  });
}

py::object upfirdn2d_of(const py::object& x_in, const py::object& kernel_in, std::int64_t up,
                        std::int64_t down, const Padding& padding, double gain) {
  const char* op = "upfirdn2d";
  const Array x(op, "x", x_in), kernel(op, "kernel", kernel_in);
  x.need_dimensions(4, "[N, C, H, W]");
  kernel.need_dimensions(2, "[kh, kw]");
  kernel.need_contiguous();
  if (up < 1 || down < 1) throw py::value_error(text(op, " needs up and down of at least 1"));
  const auto [left, right, top, bottom] = padding;
  const std::int64_t rows = kernel.shape(0), columns = kernel.shape(1);
  const std::int64_t height = x.shape(2) * up + top + bottom - rows;
  const std::int64_t width = x.shape(3) * up + left + right - columns;
  if (height < 0 || width < 0) {
    throw py::value_error(text(op, ": the padded image is smaller than the kernel"));
  }
  const bool last = lies_channels_last(x);
  return with_type(x, [&, left = left, top = top](auto* type) -> py::object {
    using S = std::remove_pointer_t<decltype(type)>;
    using C = typename ComputeType<S>::type;
    kernel.need<C>();
    // Correlated by the kernel, so the last tap comes first.
    std::vector<C> taps(kernel.data<C>(), kernel.data<C>() + rows * columns);
    std::reverse(taps.begin(), taps.end());
    for (C& tap : taps) tap *= static_cast<C>(gain);
    const Upfirdn2d<S> a{x.shape(1),
                         x.shape(2),
                         x.shape(3),
                         height / down + 1,
                         width / down + 1,
                         up,
                         down,
                         left,
                         top,
                         taps.data(),
                         rows,
                         columns,
                         last};
    NewImage<S> y(x.dtype(), x.shape(0), a.channels, a.out_height, a.out_width, last);
    if (y.memory.size() > 0) {
      const std::int64_t lines = x.shape(0) * a.out_height * (last ? 1 : a.channels);
      const std::int64_t work = y.memory.size() / lines * rows * columns / (up * up);
      const S* from = x.data<S>();
      S* to = y.data();
      const py::gil_scoped_release others_may_run;
      parallel(lines, grain(work), [&](std::int64_t begin, std::int64_t end) {
        std::vector<C> space(last ? a.channels : a.out_width);
        upfirdn2d(a, from, to, space.data(), begin, end);
      });
    }
    return y.get();
  });
}

py::object idwt2d_of(const py::object& x_in) {
  const Array x("idwt2d", "x", x_in);
  x.need_dimensions(4, "[N, 4C, H, W]");
  if (x.shape(1) % 4 != 0) {
    throw py::value_error(text("idwt2d needs four bands a channel, got ", x.shape(1), " channels"));
  }
  const bool last = lies_channels_last(x);
  return with_type(x, [&](auto* type) -> py::object {
    using S = std::remove_pointer_t<decltype(type)>;
    const Haar<S> a{x.shape(1) / 4, x.shape(2), x.shape(3), last};
    NewImage<S> y(x.dtype(), x.shape(0), a.channels, 2 * a.height, 2 * a.width, last);
    if (x.size() > 0) {
      const S* from = x.data<S>();
      S* to = y.data();
      const py::gil_scoped_release others_may_run;
      parallel(x.shape(0) * a.height, grain(x.shape(1) * a.width),
               [&](std::int64_t begin, std::int64_t end) { idwt2d(a, from, to, begin, end); });
    }
    return y.get();
  });
}

}  // namespace

void add_pixelwise(py::module_& module) {
  using namespace py::literals;
  module.def("bias_act", &bias_act_of, "x"_a, "bias"_a = py::none(), "slope"_a = 0.2,
             "gain"_a = std::sqrt(2.0), "clamp"_a = py::none(),
             "clamp(gain * leaky_relu(x + bias)), as styleclip_rt.ops.bias_act.");
  module.def("upfirdn2d", &upfirdn2d_of, "x"_a, "kernel"_a, "up"_a = 1, "down"_a = 1,
             "padding"_a = Padding{0, 0, 0, 0}, "gain"_a = 1.0,
             "Upsample, pad, filter and downsample, as styleclip_rt.ops.upfirdn2d.");
  module.def("idwt2d", &idwt2d_of, "x"_a,
             "Inverse 2-D Haar wavelet transform, as styleclip_rt.ops.haar_idwt2d.");
}

}  // namespace styleclip::python
