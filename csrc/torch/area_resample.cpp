// styleclip_rt::area_resample and its transpose: schemas, checks, CPU, Meta, Autograd.
#include "kernels/cpu/area_resample.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "parallel.h"

namespace {

using at::Tensor;
using Doubles = at::ArrayRef<double>;

void check_image(const Tensor& image) {
  TORCH_CHECK_VALUE(image.dim() == 4, "area_resample needs an image [N, C, H, W], got ",
                    image.dim(), " dimensions");
  const auto type = image.scalar_type();
  TORCH_CHECK_TYPE(
      type == at::kFloat || type == at::kBFloat16 || (type == at::kHalf && !image.is_cpu()),
      "area_resample's compiled op does not take ", type, " on ", image.device().type());
}

void check_constants(const Doubles& values, const c10::SymInt& channels, const char* name) {
  TORCH_CHECK_VALUE(values.empty() || channels == static_cast<int64_t>(values.size()),
                    "area_resample needs one ", name, " per channel or none, got ", values.size());
}

template <class Ints>
void check_crop(const Ints& image_size, const Ints& crop, const Ints& size) {
  TORCH_CHECK_VALUE(crop[0] >= 0 && crop[1] >= 0 && crop[2] > 0 && crop[3] > 0 &&
                        crop[0] + crop[2] <= image_size[0] && crop[1] + crop[3] <= image_size[1],
                    "area_resample needs a crop (top, left, height, width) inside the image of ",
                    image_size[0], "x", image_size[1], ", got (", crop[0], ", ", crop[1], ", ",
                    crop[2], ", ", crop[3], ")");
  TORCH_CHECK_VALUE(size[0] > 0 && size[1] > 0, "area_resample needs a positive output size, got ",
                    size[0], "x", size[1]);
}

Tensor resample(const Tensor& input, const styleclip::Band& rows, const styleclip::Band& columns,
                const styleclip::Affine& affine, int64_t column_begin, int64_t column_end) {
  const Tensor image = input.to(at::kFloat).contiguous();
  const int64_t channels = image.size(1);
  const Tensor out =
      at::empty({image.size(0), channels, rows.outputs(), columns.outputs()}, image.options());
  if (out.numel() > 0) {
    styleclip::area_resample(image.const_data_ptr<float>(), image.size(0) * channels, channels,
                             rows, columns, affine, column_begin, column_end,
                             out.mutable_data_ptr<float>(), styleclip::parallel);
  }
  return out.to(input.scalar_type());
}

Tensor area_resample_cpu(const Tensor& image, at::IntArrayRef crop, at::IntArrayRef size,
                         Doubles mean, Doubles std) {
  check_image(image);
  check_constants(mean, image.size(1), "mean");
  check_constants(std, image.size(1), "standard deviation");
  check_crop(image.sizes().slice(2), crop, size);
  return resample(image, styleclip::area_band(image.size(2), crop[0], crop[2], size[0]),
                  styleclip::area_band(image.size(3), crop[1], crop[3], size[1]),
                  styleclip::normalisation(image.size(1), mean, std), crop[1], crop[1] + crop[3]);
}

Tensor area_resample_transpose_cpu(const Tensor& grad, at::IntArrayRef image_size,
                                   at::IntArrayRef crop, Doubles std) {
  check_image(grad);
  check_constants(std, grad.size(1), "standard deviation");
  check_crop(image_size, crop, grad.sizes().slice(2));
  const auto rows = styleclip::area_band(image_size[0], crop[0], crop[2], grad.size(2));
  const auto columns = styleclip::area_band(image_size[1], crop[1], crop[3], grad.size(3));
  return resample(grad, styleclip::transpose(rows), styleclip::transpose(columns),
                  styleclip::normalisation(grad.size(1), {}, std), 0, grad.size(3));
}

Tensor area_resample_meta(const Tensor& image, c10::SymIntArrayRef crop, c10::SymIntArrayRef size,
                          Doubles mean, Doubles std) {
  check_image(image);
  check_constants(mean, image.sym_size(1), "mean");
  check_constants(std, image.sym_size(1), "standard deviation");
  check_crop(image.sym_sizes().slice(2), crop, size);
  return at::empty_symint({image.sym_size(0), image.sym_size(1), size[0], size[1]},
                          image.options());
}

Tensor area_resample_transpose_meta(const Tensor& grad, c10::SymIntArrayRef image_size,
                                    c10::SymIntArrayRef crop, Doubles std) {
  check_image(grad);
  check_constants(std, grad.sym_size(1), "standard deviation");
  check_crop(image_size, crop, grad.sym_sizes().slice(2));
  return at::empty_symint({grad.sym_size(0), grad.sym_size(1), image_size[0], image_size[1]},
                          grad.options());
}

Tensor call_area_resample(const Tensor& image, c10::SymIntArrayRef crop, c10::SymIntArrayRef size,
                          Doubles mean, Doubles std) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("styleclip_rt::area_resample", "")
                             .typed<Tensor(const Tensor&, c10::SymIntArrayRef, c10::SymIntArrayRef,
                                           Doubles, Doubles)>();
  return op.call(image, crop, size, mean, std);
}

Tensor call_area_resample_transpose(const Tensor& grad, c10::SymIntArrayRef image_size,
                                    c10::SymIntArrayRef crop, Doubles std) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("styleclip_rt::area_resample_transpose", "")
          .typed<Tensor(const Tensor&, c10::SymIntArrayRef, c10::SymIntArrayRef, Doubles)>();
  return op.call(grad, image_size, crop, std);
}

struct AreaResample : torch::autograd::Function<AreaResample> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& image,
                        c10::SymIntArrayRef crop, c10::SymIntArrayRef size, Doubles mean,
                        Doubles std) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor out = call_area_resample(image, crop, size, mean, std);
    context->saved_data["image_size"] = image.sym_sizes().slice(2);
    context->saved_data["crop"] = crop;
    context->saved_data["std"] = std;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    auto& saved = context->saved_data;
    return {
        call_area_resample_transpose(grads[0], saved["image_size"].toSymIntVector(),
                                     saved["crop"].toSymIntVector(), saved["std"].toDoubleVector()),
        Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct AreaResampleTranspose : torch::autograd::Function<AreaResampleTranspose> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& grad,
                        c10::SymIntArrayRef image_size, c10::SymIntArrayRef crop, Doubles std) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor out = call_area_resample_transpose(grad, image_size, crop, std);
    context->saved_data["size"] = grad.sym_sizes().slice(2);
    context->saved_data["crop"] = crop;
    context->saved_data["std"] = std;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    auto& saved = context->saved_data;
    return {call_area_resample(grads[0], saved["crop"].toSymIntVector(),
                               saved["size"].toSymIntVector(), {}, saved["std"].toDoubleVector()),
            Tensor(), Tensor(), Tensor()};
  }
};

Tensor area_resample_autograd(const Tensor& image, c10::SymIntArrayRef crop,
                              c10::SymIntArrayRef size, Doubles mean, Doubles std) {
  return AreaResample::apply(image, crop, size, mean, std);
}

Tensor area_resample_transpose_autograd(const Tensor& grad, c10::SymIntArrayRef image_size,
                                        c10::SymIntArrayRef crop, Doubles std) {
  return AreaResampleTranspose::apply(grad, image_size, crop, std);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def(
      "area_resample(Tensor image, SymInt[4] crop, SymInt[2] size, float[] mean, float[] std)"
      " -> Tensor",
      {at::Tag::pt2_compliant_tag});
  library.def(
      "area_resample_transpose(Tensor grad, SymInt[2] image_size, SymInt[4] crop, float[] std)"
      " -> Tensor",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) {
  library.impl("area_resample", area_resample_cpu);
  library.impl("area_resample_transpose", area_resample_transpose_cpu);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) {
  library.impl("area_resample", area_resample_meta);
  library.impl("area_resample_transpose", area_resample_transpose_meta);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) {
  library.impl("area_resample", area_resample_autograd);
  library.impl("area_resample_transpose", area_resample_transpose_autograd);
}
