// styleclip_rt::area_resample and its transpose: schemas, checks, CPU, Meta, Autograd.
#include "kernels/cpu/area_resample.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "torch/checks.h"
#include "torch/op.h"
#include "torch/parallel.h"

namespace area_resample_op {
namespace {

using at::Tensor;
using Doubles = at::ArrayRef<double>;

// --- Meta ---

void check_image(const Tensor& image) {
  TORCH_CHECK_VALUE(image.dim() == 4, "area_resample needs an image [N, C, H, W], got ",
                    image.dim(), " dimensions");
  styleclip::check_type(image, "area_resample");
  // float32 is its widest sum.
  TORCH_CHECK_TYPE(image.scalar_type() != at::kDouble,
                   "area_resample's compiled op does not take Double");
  styleclip::check_fault(styleclip::sizes_fault("area_resample", "the image", image.sym_sizes()));
}

void check_constants(const Doubles& values, const c10::SymInt& channels, const char* name) {
  TORCH_CHECK_VALUE(values.empty() || channels == static_cast<int64_t>(values.size()),
                    "area_resample needs one ", name, " per channel or none, got ", values.size());
}

// A schema's length of a list binds nobody.
void check_lengths(c10::SymIntArrayRef crop, c10::SymIntArrayRef size) {
  TORCH_CHECK_VALUE(crop.size() == 4 && size.size() == 2,
                    "area_resample needs a crop of four numbers and a size of two, got ",
                    crop.size(), " and ", size.size());
}

Tensor area_resample_meta(const Tensor& image, c10::SymIntArrayRef crop, c10::SymIntArrayRef size,
                          Doubles mean, Doubles std) {
  check_image(image);
  check_constants(mean, image.sym_size(1), "mean");
  check_constants(std, image.sym_size(1), "standard deviation");
  check_lengths(crop, size);
  styleclip::check_fault(
      styleclip::area_resample_fault(image.sym_size(2), image.sym_size(3), crop, size));
  return at::empty_symint({image.sym_size(0), image.sym_size(1), size[0], size[1]},
                          image.options());
}

Tensor area_resample_transpose_meta(const Tensor& grad, c10::SymIntArrayRef image_size,
                                    c10::SymIntArrayRef crop, Doubles std) {
  check_image(grad);
  check_constants(std, grad.sym_size(1), "standard deviation");
  check_lengths(crop, image_size);
  styleclip::check_fault(styleclip::area_resample_fault(image_size[0], image_size[1], crop,
                                                        grad.sym_sizes().slice(2)));
  return at::empty_symint({grad.sym_size(0), grad.sym_size(1), image_size[0], image_size[1]},
                          grad.options());
}

// --- CPU ---

// Writes to `out`, of the type of `input`, what both matrices make of it.
Tensor resample(const Tensor& input, const Tensor& out, const styleclip::BandMatrix& rows,
                const styleclip::BandMatrix& columns, const styleclip::Affine& affine,
                int64_t column_begin, int64_t column_end) {
  const Tensor image = styleclip::dense(input.to(at::kFloat));
  const bool wide = out.scalar_type() == at::kFloat;
  const Tensor made = wide ? out : at::empty(out.sizes(), image.options());
  styleclip::area_resample(image.const_data_ptr<float>(), image.size(0) * image.size(1),
                           image.size(1), rows, columns, affine, column_begin, column_end,
                           made.mutable_data_ptr<float>(), styleclip::parallel);
  if (!wide) out.copy_(made);
  return out;
}

Tensor area_resample_cpu(const Tensor& image, c10::SymIntArrayRef crop_in, c10::SymIntArrayRef size,
                         Doubles mean, Doubles std) {
  const Tensor out = area_resample_meta(image, crop_in, size, mean, std);
  if (out.numel() == 0) return out;
  const auto crop = C10_AS_INTARRAYREF_SLOW(crop_in);
  return resample(image, out, styleclip::area_matrix(image.size(2), crop[0], crop[2], out.size(2)),
                  styleclip::area_matrix(image.size(3), crop[1], crop[3], out.size(3)),
                  styleclip::normalisation(image.size(1), mean, std), crop[1], crop[1] + crop[3]);
}

Tensor area_resample_transpose_cpu(const Tensor& grad, c10::SymIntArrayRef image_size,
                                   c10::SymIntArrayRef crop_in, Doubles std) {
  const Tensor out = area_resample_transpose_meta(grad, image_size, crop_in, std);
  if (out.numel() == 0) return out;
  const auto crop = C10_AS_INTARRAYREF_SLOW(crop_in);
  const auto rows = styleclip::area_matrix(out.size(2), crop[0], crop[2], grad.size(2));
  const auto columns = styleclip::area_matrix(out.size(3), crop[1], crop[3], grad.size(3));
  return resample(grad, out, styleclip::transpose(rows), styleclip::transpose(columns),
                  styleclip::normalisation(grad.size(1), {}, std), 0, grad.size(3));
}

// --- Autograd ---

Tensor call_forward(const Tensor& image, c10::SymIntArrayRef crop, c10::SymIntArrayRef size,
                    Doubles mean, Doubles std) {
  return styleclip::call<"area_resample", decltype(area_resample_meta)>(image, crop, size, mean,
                                                                        std);
}

Tensor call_transpose(const Tensor& grad, c10::SymIntArrayRef image_size, c10::SymIntArrayRef crop,
                      Doubles std) {
  return styleclip::call<"area_resample_transpose", decltype(area_resample_transpose_meta)>(
      grad, image_size, crop, std);
}

struct AreaResample : torch::autograd::Function<AreaResample> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& image,
                        c10::SymIntArrayRef crop, c10::SymIntArrayRef size, Doubles mean,
                        Doubles std) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor out = call_forward(image, crop, size, mean, std);
    context->saved_data["image_size"] = image.sym_sizes().slice(2);
    context->saved_data["crop"] = crop;
    context->saved_data["std"] = std;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    auto& saved = context->saved_data;
    return {call_transpose(grads[0], saved["image_size"].toSymIntVector(),
                           saved["crop"].toSymIntVector(), saved["std"].toDoubleVector()),
            Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct AreaResampleTranspose : torch::autograd::Function<AreaResampleTranspose> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& grad,
                        c10::SymIntArrayRef image_size, c10::SymIntArrayRef crop, Doubles std) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor out = call_transpose(grad, image_size, crop, std);
    context->saved_data["size"] = grad.sym_sizes().slice(2);
    context->saved_data["crop"] = crop;
    context->saved_data["std"] = std;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    auto& saved = context->saved_data;
    return {call_forward(grads[0], saved["crop"].toSymIntVector(), saved["size"].toSymIntVector(),
                         {}, saved["std"].toDoubleVector()),
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

}  // namespace area_resample_op
