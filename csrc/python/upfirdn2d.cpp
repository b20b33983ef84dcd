// upfirdn2d on arrays.
#include "kernels/cpu/upfirdn2d.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "kernels/cpu/heuristics.h"
#include "kernels/faults.h"
#include "python/arrays.h"
#include "python/ops.h"
#include "python/parallel.h"

namespace styleclip::python::upfirdn2d_op {
namespace {

using Padding = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

py::object upfirdn2d_of(const py::object& x_in, const py::object& kernel_in, std::int64_t up,
                        std::int64_t down, const Padding& padding, double gain) {
  const char* op = "upfirdn2d";
  const Array x(op, "x", x_in), kernel(op, "kernel", kernel_in);
  x.need_dimensions(4, "[N, C, H, W]");
  kernel.need_dimensions(2, "[kh, kw]");
  kernel.need_contiguous();
  const std::int64_t rows = kernel.shape(0), columns = kernel.shape(1);
  const auto [left, right, top, bottom] = padding;
  const auto output = upfirdn2d_output(x.shape(2), x.shape(3), rows, columns, up, down,
                                       std::array{left, right, top, bottom});
  check_fault(output.fault);
  const bool last = lies_channels_last(x);
  return with_type(x, [&, left = left, top = top](auto* type) -> py::object {
    using S = std::remove_pointer_t<decltype(type)>;
    using C = typename ComputeType<S>::type;
    kernel.need<C>();
    // Correlated by the kernel, so the last tap comes first.
    std::vector<C> taps(kernel.data<C>(), kernel.data<C>() + rows * columns);
    std::reverse(taps.begin(), taps.end());
    for (C& tap : taps) tap *= static_cast<C>(gain);
    const Upfirdn2d<S> a{x.shape(1), x.shape(2), x.shape(3), output.height, output.width,
                         up,         down,       left,       top,           taps.data(),
                         rows,       columns,    last};
    NewImage<S> y(x.dtype(), x.shape(0), a.channels, a.out_height, a.out_width, last);
    if (y.memory.size() > 0) {
      const std::int64_t lines = x.shape(0) * a.out_height * (last ? 1 : a.channels);
      const std::int64_t work = y.memory.size() / lines * rows * columns / (up * up);
      const S* from = x.data<S>();
      S* to = y.data();
      const auto& kernels = upfirdn2d_kernels<S>();
      const py::gil_scoped_release others_may_run;
      parallel(lines, row_grain(work), [&](std::int64_t begin, std::int64_t end) {
        std::vector<C> space(last ? a.channels : a.out_width);
        kernels.forward(a, from, to, space.data(), begin, end);
      });
    }
    return y.get();
  });
}

void add(py::module_& module) {
  using namespace py::literals;
  module.def("upfirdn2d", &upfirdn2d_of, "x"_a, "kernel"_a, "up"_a = 1, "down"_a = 1,
             "padding"_a = Padding{0, 0, 0, 0}, "gain"_a = 1.0,
             "Upsample, pad, filter and downsample, as styleclip_rt.ops.upfirdn2d.");
}
const RegisterOp registered(add);

}  // namespace
}  // namespace styleclip::python::upfirdn2d_op
