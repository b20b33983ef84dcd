// styleclip_rt::idwt2d and dwt2d, the Haar wavelet: schemas, checks, CPU, Meta, Autograd.
#include "kernels/cpu/idwt2d.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/cpu/heuristics.h"
#include "torch/checks.h"
#include "torch/op.h"
#include "torch/parallel.h"

namespace idwt2d_op {
namespace {

using at::Tensor;

Tensor idwt2d_meta(const Tensor& x) {
  styleclip::check_activations(x, "idwt2d");
  styleclip::check_fault(styleclip::bands_fault(x.sym_size(1)));
  return at::empty_symint({x.sym_size(0), x.sym_size(1) / 4, x.sym_size(2) * 2, x.sym_size(3) * 2},
                          x.options(), styleclip::format_of(x));
}

Tensor dwt2d_meta(const Tensor& x) {
  styleclip::check_activations(x, "dwt2d");
  TORCH_CHECK_VALUE(x.sym_size(2) % 2 == 0 && x.sym_size(3) % 2 == 0,
                    "dwt2d needs an even height and width, got ", x.sym_size(2), "x",
                    x.sym_size(3));
  return at::empty_symint({x.sym_size(0), x.sym_size(1) * 4, x.sym_size(2) / 2, x.sym_size(3) / 2},
                          x.options(), styleclip::format_of(x));
}

Tensor haar(const Tensor& x, const Tensor& out, const Tensor& bands, bool inverse) {
  if (out.numel() == 0) return out;
  const auto format = styleclip::format_of(x);
  const bool last = format == at::MemoryFormat::ChannelsLast;
  const Tensor from = styleclip::dense(x, format);
  styleclip::with_type(x, [&]<class S>(S) {
    const auto& kernels = styleclip::haar_kernels<S>();
    const auto run = inverse ? kernels.idwt2d : kernels.dwt2d;
    const styleclip::Haar<S> a{bands.size(1) / 4, bands.size(2), bands.size(3), last};
    styleclip::parallel(bands.size(0) * bands.size(2),
                        styleclip::row_grain(bands.size(1) * bands.size(3)),
                        [&](int64_t begin, int64_t end) {
                          run(a, styleclip::read<S>(from), styleclip::write<S>(out), begin, end);
                        });
  });
  return out;
}

Tensor idwt2d_cpu(const Tensor& x) { return haar(x, idwt2d_meta(x), x, true); }
Tensor dwt2d_cpu(const Tensor& x) {
  const Tensor out = dwt2d_meta(x);
  return haar(x, out, out, false);
}

// Orthonormal, so that each direction carries the other's gradient.
template <bool inverse>
struct Wavelet : torch::autograd::Function<Wavelet<inverse>> {
  static Tensor call(const Tensor& x, bool to_image) {
    return to_image ? styleclip::call<"idwt2d", decltype(idwt2d_meta)>(x)
                    : styleclip::call<"dwt2d", decltype(dwt2d_meta)>(x);
  }
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    return call(x, inverse);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list grads) {
    return {call(grads[0], !inverse)};
  }
};

Tensor idwt2d_autograd(const Tensor& x) { return Wavelet<true>::apply(x); }
Tensor dwt2d_autograd(const Tensor& x) { return Wavelet<false>::apply(x); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def("idwt2d(Tensor x) -> Tensor", {at::Tag::pt2_compliant_tag});
  library.def("dwt2d(Tensor x) -> Tensor", {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) {
  library.impl("idwt2d", idwt2d_cpu);
  library.impl("dwt2d", dwt2d_cpu);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) {
  library.impl("idwt2d", idwt2d_meta);
  library.impl("dwt2d", dwt2d_meta);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) {
  library.impl("idwt2d", idwt2d_autograd);
  library.impl("dwt2d", dwt2d_autograd);
}

}  // namespace idwt2d_op
