// idwt2d on arrays.
#include "kernels/cpu/idwt2d.h"

#include "kernels/cpu/heuristics.h"
#include "python/arrays.h"
#include "python/ops.h"
#include "python/parallel.h"

namespace styleclip::python::idwt2d_op {
namespace {

py::object idwt2d_of(const py::object& x_in) {
  const Array x("idwt2d", "x", x_in);
  x.need_dimensions(4, "[N, 4C, H, W]");
  check_fault(bands_fault(x.shape(1)));
  const bool last = lies_channels_last(x);
  return with_type(x, [&](auto* type) -> py::object {
    using S = std::remove_pointer_t<decltype(type)>;
    const Haar<S> a{x.shape(1) / 4, x.shape(2), x.shape(3), last};
    NewImage<S> y(x.dtype(), x.shape(0), a.channels, 2 * a.height, 2 * a.width, last);
    if (x.size() > 0) {
      const S* from = x.data<S>();
      S* to = y.data();
      const auto& kernels = haar_kernels<S>();
      const py::gil_scoped_release others_may_run;
      parallel(
          x.shape(0) * a.height, row_grain(x.shape(1) * a.width),
          [&](std::int64_t begin, std::int64_t end) { kernels.idwt2d(a, from, to, begin, end); });
    }
    return y.get();
  });
}

void add(py::module_& module) {
  using namespace py::literals;
  module.def("idwt2d", &idwt2d_of, "x"_a,
             "Inverse 2-D Haar wavelet transform, as styleclip_rt.ops.haar_idwt2d.");
}
const RegisterOp registered(add);

}  // namespace
}  // namespace styleclip::python::idwt2d_op
