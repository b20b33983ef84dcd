// styleclip_rt::upfirdn2d: schema, checks, CPU, Meta, Autograd.
#include "kernels/cpu/upfirdn2d.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <vector>

#include "kernels/cpu/heuristics.h"
#include "torch/checks.h"
#include "torch/op.h"
#include "torch/parallel.h"

namespace upfirdn2d_op {
namespace {

using at::Tensor;

Tensor upfirdn2d_meta(const Tensor& x, const Tensor& kernel, c10::SymInt up, c10::SymInt down,
                      c10::SymIntArrayRef padding, double, bool) {
  styleclip::check_activations(x, "upfirdn2d");
  // A schema's length of a list binds nobody.
  TORCH_CHECK_VALUE(padding.size() == 4, "upfirdn2d needs four paddings, got ", padding.size());
  TORCH_CHECK_VALUE(kernel.dim() == 2 && kernel.device() == x.device(),
                    "upfirdn2d needs a kernel [kh, kw] on ", x.device(), ", got ", kernel.dim(),
                    " dimensions on ", kernel.device());
  TORCH_CHECK_TYPE(kernel.is_floating_point(), "upfirdn2d: the kernel is ", kernel.scalar_type(),
                   ", not floating-point");
  const auto output = styleclip::upfirdn2d_output(x.sym_size(2), x.sym_size(3), kernel.sym_size(0),
                                                  kernel.sym_size(1), up, down, padding);
  styleclip::check_fault(output.fault);
  return at::empty_symint({x.sym_size(0), x.sym_size(1), output.height, output.width}, x.options(),
                          styleclip::format_of(x));
}

// Numbers below -2^62 reach a kernel as symbolic ones only, so it takes all that way.
Tensor upfirdn2d_cpu(const Tensor& x, const Tensor& kernel, c10::SymInt up_in, c10::SymInt down_in,
                     c10::SymIntArrayRef padding_in, double gain, bool flip) {
  const Tensor y = upfirdn2d_meta(x, kernel, up_in, down_in, padding_in, gain, flip);
  if (y.numel() == 0) return y;
  const int64_t up = up_in.expect_int(), down = down_in.expect_int();
  const auto padding = C10_AS_INTARRAYREF_SLOW(padding_in);
  const auto format = styleclip::format_of(x);
  const bool last = format == at::MemoryFormat::ChannelsLast;
  const Tensor from = styleclip::dense(x, format);
  Tensor taps = kernel.to(styleclip::wide(x.scalar_type())).mul(gain);
  taps = (flip ? taps : taps.flip({0, 1})).contiguous();
  styleclip::with_type(x, [&]<class S>(S) {
    using C = typename styleclip::ComputeType<S>::type;
    const auto& kernels = styleclip::upfirdn2d_kernels<S>();
    const styleclip::Upfirdn2d<S> a{
        x.size(1),    x.size(2),    x.size(3),  y.size(2),  y.size(3),
        up,           down,         padding[0], padding[2], taps.const_data_ptr<C>(),
        taps.size(0), taps.size(1), last};
    const int64_t rows = y.size(0) * y.size(2) * (last ? 1 : y.size(1));
    const int64_t work = y.numel() / rows * taps.numel() / (up * up);
    styleclip::parallel(rows, styleclip::row_grain(work), [&](int64_t begin, int64_t end) {
      std::vector<C> space(last ? y.size(1) : y.size(3));
      kernels.forward(a, styleclip::read<S>(from), styleclip::write<S>(y), space.data(), begin,
                      end);
    });
  });
  return y;
}

Tensor call(const Tensor& x, const Tensor& kernel, const c10::SymInt& up, const c10::SymInt& down,
            c10::SymIntArrayRef padding, double gain, bool flip) {
  return styleclip::call<"upfirdn2d", decltype(upfirdn2d_meta)>(x, kernel, up, down, padding, gain,
                                                                flip);
}

struct Upfirdn2d : torch::autograd::Function<Upfirdn2d> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const Tensor& kernel, c10::SymInt up, c10::SymInt down,
                        c10::SymIntArrayRef padding, double gain, bool flip) {
    TORCH_CHECK_VALUE(!kernel.requires_grad(),
                      "upfirdn2d's compiled op has no gradient for its kernel");
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor y = call(x, kernel, up, down, padding, gain, flip);
    context->save_for_backward({kernel});
    auto& saved = context->saved_data;
    saved["gain"] = gain;
    saved["flip"] = flip;
    saved["up"] = up;
    saved["down"] = down;
    saved["sizes"] = x.sym_sizes();
    saved["empty"] = x.sym_numel() == 0;
    // Rows and columns that the transposed filter needs around the gradient.
    saved["padding"] =
        std::vector<c10::SymInt>{kernel.sym_size(1) - padding[0] - 1,
                                 x.sym_size(3) * up - y.sym_size(3) * down + padding[0] - up + 1,
                                 kernel.sym_size(0) - padding[2] - 1,
                                 x.sym_size(2) * up - y.sym_size(2) * down + padding[2] - up + 1};
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    auto& saved = context->saved_data;
    // What no sample was read for would need an image smaller than its kernel.
    if (saved["empty"].toBool()) {
      return {grads[0].new_zeros_symint(saved["sizes"].toSymIntVector()),
              Tensor(),
              Tensor(),
              Tensor(),
              Tensor(),
              Tensor(),
              Tensor()};
    }
    return {call(grads[0], context->get_saved_variables()[0], saved["down"].toSymInt(),
                 saved["up"].toSymInt(), saved["padding"].toSymIntVector(),
                 saved["gain"].toDouble(), !saved["flip"].toBool()),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor()};
  }
};

Tensor upfirdn2d_autograd(const Tensor& x, const Tensor& kernel, c10::SymInt up, c10::SymInt down,
                          c10::SymIntArrayRef padding, double gain, bool flip) {
  return Upfirdn2d::apply(x, kernel, up, down, padding, gain, flip);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def(
      "upfirdn2d(Tensor x, Tensor kernel, SymInt up, SymInt down, SymInt[4] padding, float gain, "
      "bool flip) -> Tensor",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) { library.impl("upfirdn2d", upfirdn2d_cpu); }
TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) { library.impl("upfirdn2d", upfirdn2d_meta); }
TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) {
  library.impl("upfirdn2d", upfirdn2d_autograd);
}

}  // namespace upfirdn2d_op
