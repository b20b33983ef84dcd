// area_resample on arrays.
#include "kernels/cpu/area_resample.h"

#include <array>

#include "kernels/faults.h"
#include "python/arrays.h"
#include "python/ops.h"
#include "python/parallel.h"

namespace styleclip::python::area_resample_op {
namespace {

using Size = std::array<std::int64_t, 2>;
using Crop = std::array<std::int64_t, 4>;
using Numbers = std::optional<std::vector<double>>;

void check_numbers(const Numbers& numbers, std::int64_t channels, const char* name) {
  if (!numbers || static_cast<std::int64_t>(numbers->size()) == channels) return;
  throw py::value_error(
      text("area_resample needs one ", name, " a channel or none, got ", numbers->size()));
}

py::object area_resample_of(const py::object& image_in, const Size& size,
                            const std::optional<Crop>& crop_in, const Numbers& mean,
                            const Numbers& std) {
  const char* op = "area_resample";
  const Array image(op, "image", image_in);
  image.need_dimensions(4, "[N, C, H, W]");
  image.need_contiguous();
  if (!image.is<float>()) throw py::type_error(text(op, ": image is not float32"));
  const std::int64_t channels = image.shape(1), planes = image.shape(0) * channels;
  const std::int64_t height = image.shape(2), width = image.shape(3);
  const Crop crop = crop_in.value_or(Crop{0, 0, height, width});
  check_fault(area_resample_fault(height, width, crop, size));
  check_numbers(mean, channels, "mean");
  check_numbers(std, channels, "standard deviation");

  py::array out = new_array(image.dtype(), {image.shape(0), channels, size[0], size[1]});
  if (planes == 0) return out;
  const BandMatrix rows = area_matrix(height, crop[0], crop[2], size[0]);
  const BandMatrix columns = area_matrix(width, crop[1], crop[3], size[1]);
  const Affine affine = normalisation(channels, mean.value_or(std::vector<double>{}),
                                      std.value_or(std::vector<double>{}));
  float* to = static_cast<float*>(out.mutable_data());
  {
    const py::gil_scoped_release others_may_run;
    area_resample(image.data<float>(), planes, channels, rows, columns, affine, crop[1],
                  crop[1] + crop[3], to, parallel);
  }
  return out;
}

void add(py::module_& module) {
  using namespace py::literals;
  module.def("area_resample", &area_resample_of, "image"_a, "size"_a, "crop"_a = py::none(),
             "mean"_a = py::none(), "std"_a = py::none(),
             "Crop, exact area average and normalisation, as styleclip_rt.ops.area_resample.");
}
const RegisterOp registered(add);

}  // namespace
}  // namespace styleclip::python::area_resample_op
