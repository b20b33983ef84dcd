// area_resample on arrays.
#include "kernels/cpu/area_resample.h"

#include <array>

#include "arrays.h"
#include "ops.h"
#include "parallel.h"

namespace styleclip::python {
namespace {

using Size = std::array<std::int64_t, 2>;
using Crop = std::array<std::int64_t, 4>;
using Numbers = std::optional<std::vector<double>>;

std::int64_t grain(std::int64_t work) { return std::max<std::int64_t>(1, 32768 / (work + 1)); }

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
  const auto [top, left, rows_taken, columns_taken] = crop_in.value_or(Crop{0, 0, height, width});
  if (top < 0 || left < 0 || rows_taken < 1 || columns_taken < 1 || top + rows_taken > height ||
      left + columns_taken > width) {
    throw py::value_error(text(op, " needs a crop (top, left, height, width) inside the image of ",
                               height, "x", width));
  }
  if (size[0] < 1 || size[1] < 1) throw py::value_error(text(op, " needs a positive size"));
  check_numbers(mean, channels, "mean");
  check_numbers(std, channels, "standard deviation");

  std::vector<float> scale(channels, 1.0f), shift(channels, 0.0f);
  for (std::int64_t c = 0; c < channels; ++c) {
    if (std) scale[c] = static_cast<float>(1.0 / (*std)[c]);
    if (mean) shift[c] = static_cast<float>(-(*mean)[c] / (std ? (*std)[c] : 1.0));
  }
  const Band rows = area_band(height, top, rows_taken, size[0]);
  const Band columns = area_band(width, left, columns_taken, size[1]);
  py::array_t<float> out(Shape{image.shape(0), channels, size[0], size[1]});
  if (planes == 0) return out;
  const float* from = image.data<float>();
  float* to = out.mutable_data();
  const std::int64_t column_begin = left, column_end = left + columns_taken;
  {
    const py::gil_scoped_release others_may_run;
    const auto vertical = [&](const float* in, float* made, std::int64_t across, std::int64_t begin,
                              std::int64_t end) {
      const std::int64_t work = (end - begin) * (1 + rows.inputs / rows.outputs());
      parallel(planes * rows.outputs(), grain(work), [&](std::int64_t a, std::int64_t b) {
        combine_rows(in, rows, across, begin, end, made, a, b);
      });
    };
    const auto horizontal = [&](const float* in, float* made, std::int64_t high) {
      const std::int64_t work =
          columns.outputs() + static_cast<std::int64_t>(columns.weights.size());
      parallel(planes * high, grain(work), [&](std::int64_t a, std::int64_t b) {
        combine_columns(in, columns, high, channels, scale.data(), shift.data(), made, a, b);
      });
    };
    // The column pass is the slow one: it goes where there are fewer rows.
    if (rows.outputs() <= rows.inputs) {
      std::vector<float> between(planes * rows.outputs() * columns.inputs);
      vertical(from, between.data(), columns.inputs, column_begin, column_end);
      horizontal(between.data(), to, rows.outputs());
    } else {
      std::vector<float> between(planes * rows.inputs * columns.outputs());
      horizontal(from, between.data(), rows.inputs);
      vertical(between.data(), to, columns.outputs(), 0, columns.outputs());
    }
  }
  return out;
}

}  // namespace

void add_area_resample(py::module_& module) {
  using namespace py::literals;
  module.def("area_resample", &area_resample_of, "image"_a, "size"_a, "crop"_a = py::none(),
             "mean"_a = py::none(), "std"_a = py::none(),
             "Crop, exact area average and normalisation, as styleclip_rt.ops.area_resample.");
}

}  // namespace styleclip::python
