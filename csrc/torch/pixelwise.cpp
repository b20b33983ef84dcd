// styleclip_rt::bias_act, upfirdn2d, idwt2d and dwt2d: schemas, checks, CPU, Meta, Autograd.
#include "kernels/cpu/pixelwise.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <vector>

#include "checks.h"

namespace {

using at::Tensor;
using styleclip::given;
using styleclip::OptionalTensor;
using styleclip::wide;
using styleclip::wide_side;
using styleclip::with_type;
using MaybeDouble = std::optional<double>;

template <class Signature>
auto find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

template <class S>
const S* read(const Tensor& x) {
  return static_cast<const S*>(x.const_data_ptr());
}
template <class S>
S* write(const Tensor& x) {
  return static_cast<S*>(x.mutable_data_ptr());
}

int64_t grain(int64_t row) { return std::max<int64_t>(1, 16384 / (row + 1)); }

at::MemoryFormat format_of(const Tensor& x) {
  const bool last =
      x.dim() == 4 && !x.is_contiguous() && x.is_contiguous(at::MemoryFormat::ChannelsLast);
  return last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

// --- bias_act ---

Tensor bias_act_output(const Tensor& x, const OptionalTensor& bias, double gain,
                       const MaybeDouble& clamp) {
  TORCH_CHECK_VALUE(x.dim() >= 2, "bias_act needs activations [N, C, ...], got ", x.dim(),
                    " dimensions");
  TORCH_CHECK_TYPE(x.is_floating_point(), "bias_act does not take ", x.scalar_type());
  TORCH_CHECK_TYPE(!x.is_cpu() || x.scalar_type() != at::kHalf,
                   "bias_act's compiled op does not take Half on cpu");
  styleclip::check_side(x, bias, "bias", {x.sym_size(1)}, "bias_act");
  TORCH_CHECK_VALUE(gain > 0 && (!clamp || *clamp > 0), "bias_act needs a positive gain and clamp");
  return at::empty_symint(x.sym_sizes(), x.options(), format_of(x));
}

template <class S>
styleclip::BiasAct<S> bias_act_of(const Tensor& x, const Tensor& bias, bool last, double slope,
                                  double gain, const MaybeDouble& clamp) {
  using C = typename styleclip::ComputeType<S>::type;
  const int64_t inner = last ? 1 : x.numel() / (x.size(0) * x.size(1));
  return {
      styleclip::pointer<C>(bias), x.size(1), inner, static_cast<C>(slope), static_cast<C>(gain),
      styleclip::limit<S>(clamp)};
}

Tensor bias_act_cpu(const Tensor& x, const OptionalTensor& bias, double slope, double gain,
                    MaybeDouble clamp) {
  const Tensor y = bias_act_output(x, bias, gain, clamp);
  if (y.numel() == 0) return y;
  const auto format = format_of(x);
  const Tensor from = x.contiguous(format);
  const Tensor shift = wide_side(bias, x.scalar_type());
  with_type(x, [&]<class S>(S) {
    const auto a =
        bias_act_of<S>(x, shift, format == at::MemoryFormat::ChannelsLast, slope, gain, clamp);
    const int64_t row = a.inner == 1 ? a.channels : a.inner;
    at::parallel_for(0, x.numel() / row, grain(row), [&](int64_t begin, int64_t end) {
      styleclip::bias_act(a, read<S>(from), write<S>(y), begin, end);
    });
  });
  return y;
}

Tensor bias_act_meta(const Tensor& x, const OptionalTensor& bias, double, double gain,
                     MaybeDouble clamp) {
  return bias_act_output(x, bias, gain, clamp);
}

Tensor bias_act_backward_output(const Tensor& grad, const Tensor& y, double gain,
                                const MaybeDouble& clamp) {
  styleclip::check_side(y, grad, "the gradient", y.sym_sizes(), "bias_act_backward");
  return bias_act_output(y, {}, gain, clamp);
}

Tensor bias_act_backward_cpu(const Tensor& grad, const Tensor& y, double slope, double gain,
                             MaybeDouble clamp) {
  const Tensor out = bias_act_backward_output(grad, y, gain, clamp);
  if (out.numel() == 0) return out;
  const auto format = format_of(y);
  const Tensor from = grad.to(y.scalar_type()).contiguous(format), made = y.contiguous(format);
  with_type(y, [&]<class S>(S) {
    const auto a =
        bias_act_of<S>(y, {}, format == at::MemoryFormat::ChannelsLast, slope, gain, clamp);
    const int64_t row = a.inner == 1 ? a.channels : a.inner;
    at::parallel_for(0, y.numel() / row, grain(row), [&](int64_t begin, int64_t end) {
      styleclip::bias_act_backward(a, read<S>(from), read<S>(made), write<S>(out), begin, end);
    });
  });
  return out;
}

Tensor bias_act_backward_meta(const Tensor& grad, const Tensor& y, double, double gain,
                              MaybeDouble clamp) {
  return bias_act_backward_output(grad, y, gain, clamp);
}

Tensor call_bias_act(const Tensor& x, const OptionalTensor& bias, double slope, double gain,
                     MaybeDouble clamp) {
  static const auto op =
      find<Tensor(const Tensor&, const OptionalTensor&, double, double, MaybeDouble)>(
          "styleclip_rt::bias_act");
  return op.call(x, bias, slope, gain, clamp);
}

Tensor call_bias_act_backward(const Tensor& grad, const Tensor& y, double slope, double gain,
                              MaybeDouble clamp) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, double, double, MaybeDouble)>(
      "styleclip_rt::bias_act_backward");
  return op.call(grad, y, slope, gain, clamp);
}

void save_activation(torch::autograd::AutogradContext* context, const Tensor& y, double slope,
                     double gain, const MaybeDouble& clamp) {
  context->save_for_backward({y});
  context->saved_data["slope"] = slope;
  context->saved_data["gain"] = gain;
  context->saved_data["clamp"] = clamp;
}

Tensor activation_gradient(torch::autograd::AutogradContext* context, const Tensor& grad) {
  auto& saved = context->saved_data;
  return call_bias_act_backward(grad, context->get_saved_variables()[0], saved["slope"].toDouble(),
                                saved["gain"].toDouble(), saved["clamp"].toOptional<double>());
}

struct BiasAct : torch::autograd::Function<BiasAct> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const OptionalTensor& bias, double slope, double gain, MaybeDouble clamp) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor y = call_bias_act(x, bias, slope, gain, clamp);
    save_activation(context, y, slope, gain, clamp);
    context->saved_data["biased"] = given(bias);
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const Tensor grad = activation_gradient(context, grads[0]);
    Tensor bias;
    if (context->saved_data["biased"].toBool() && context->needs_input_grad(1)) {
      std::vector<int64_t> others;
      for (int64_t i = 0; i < grad.dim(); ++i) {
        if (i != 1) others.push_back(i);
      }
      bias = grad.sum(others);
    }
    return {grad, bias, Tensor(), Tensor(), Tensor()};
  }
};

struct BiasActBackward : torch::autograd::Function<BiasActBackward> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& grad,
                        const Tensor& y, double slope, double gain, MaybeDouble clamp) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    save_activation(context, y, slope, gain, clamp);
    return call_bias_act_backward(grad, y, slope, gain, clamp);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    return {activation_gradient(context, grads[0]), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor bias_act_autograd(const Tensor& x, const OptionalTensor& bias, double slope, double gain,
                         MaybeDouble clamp) {
  return BiasAct::apply(x, bias, slope, gain, clamp);
}

Tensor bias_act_backward_autograd(const Tensor& grad, const Tensor& y, double slope, double gain,
                                  MaybeDouble clamp) {
  return BiasActBackward::apply(grad, y, slope, gain, clamp);
}

// --- upfirdn2d ---

Tensor upfirdn2d_output(const Tensor& x, const Tensor& kernel, const c10::SymInt& up,
                        const c10::SymInt& down, c10::SymIntArrayRef padding) {
  styleclip::check_activations(x, "upfirdn2d");
  TORCH_CHECK_VALUE(kernel.dim() == 2 && kernel.device() == x.device(),
                    "upfirdn2d needs a kernel [kh, kw] on ", x.device(), ", got ", kernel.dim(),
                    " dimensions on ", kernel.device());
  TORCH_CHECK_VALUE(up >= 1 && down >= 1, "upfirdn2d needs up and down of at least 1");
  const auto height = x.sym_size(2) * up + padding[2] + padding[3] - kernel.sym_size(0);
  const auto width = x.sym_size(3) * up + padding[0] + padding[1] - kernel.sym_size(1);
  TORCH_CHECK_VALUE(height >= 0 && width >= 0,
                    "upfirdn2d: the padded image is smaller than the kernel");
  return at::empty_symint({x.sym_size(0), x.sym_size(1), height / down + 1, width / down + 1},
                          x.options(), format_of(x));
}

Tensor upfirdn2d_cpu(const Tensor& x, const Tensor& kernel, int64_t up, int64_t down,
                     at::IntArrayRef padding, double gain, bool flip) {
  const Tensor y = upfirdn2d_output(x, kernel, up, down, c10::fromIntArrayRefSlow(padding));
  if (y.numel() == 0) return y;
  const auto format = format_of(x);
  const bool last = format == at::MemoryFormat::ChannelsLast;
  const Tensor from = x.contiguous(format);
  Tensor taps = kernel.to(wide(x.scalar_type())).mul(gain);
  taps = (flip ? taps : taps.flip({0, 1})).contiguous();
  with_type(x, [&]<class S>(S) {
    using C = typename styleclip::ComputeType<S>::type;
    const styleclip::Upfirdn2d<S> a{
        x.size(1),    x.size(2),    x.size(3),  y.size(2),  y.size(3),
        up,           down,         padding[0], padding[2], taps.const_data_ptr<C>(),
        taps.size(0), taps.size(1), last};
    const int64_t rows = y.size(0) * y.size(2) * (last ? 1 : y.size(1));
    const int64_t work = y.numel() / rows * taps.numel() / (up * up);
    at::parallel_for(0, rows, grain(work), [&](int64_t begin, int64_t end) {
      std::vector<C> space(last ? y.size(1) : y.size(3));
      styleclip::upfirdn2d(a, read<S>(from), write<S>(y), space.data(), begin, end);
    });
  });
  return y;
}

Tensor upfirdn2d_meta(const Tensor& x, const Tensor& kernel, c10::SymInt up, c10::SymInt down,
                      c10::SymIntArrayRef padding, double, bool) {
  return upfirdn2d_output(x, kernel, up, down, padding);
}

Tensor call_upfirdn2d(const Tensor& x, const Tensor& kernel, c10::SymInt up, c10::SymInt down,
                      c10::SymIntArrayRef padding, double gain, bool flip) {
  static const auto op = find<Tensor(const Tensor&, const Tensor&, c10::SymInt, c10::SymInt,
                                     c10::SymIntArrayRef, double, bool)>("styleclip_rt::upfirdn2d");
  return op.call(x, kernel, up, down, padding, gain, flip);
}

struct Upfirdn2d : torch::autograd::Function<Upfirdn2d> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const Tensor& kernel, c10::SymInt up, c10::SymInt down,
                        c10::SymIntArrayRef padding, double gain, bool flip) {
    TORCH_CHECK_VALUE(!kernel.requires_grad(),
                      "upfirdn2d's compiled op has no gradient for its kernel");
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor y = call_upfirdn2d(x, kernel, up, down, padding, gain, flip);
    context->save_for_backward({kernel});
    auto& saved = context->saved_data;
    saved["gain"] = gain;
    saved["flip"] = flip;
    saved["up"] = up;
    saved["down"] = down;
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
    return {call_upfirdn2d(grads[0], context->get_saved_variables()[0], saved["down"].toSymInt(),
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

// --- the Haar wavelet ---

Tensor idwt2d_output(const Tensor& x) {
  styleclip::check_activations(x, "idwt2d");
  TORCH_CHECK_VALUE(x.sym_size(1) % 4 == 0, "idwt2d needs four bands a channel, got ",
                    x.sym_size(1), " channels");
  return at::empty_symint({x.sym_size(0), x.sym_size(1) / 4, x.sym_size(2) * 2, x.sym_size(3) * 2},
                          x.options(), format_of(x));
}

Tensor dwt2d_output(const Tensor& x) {
  styleclip::check_activations(x, "dwt2d");
  TORCH_CHECK_VALUE(x.sym_size(2) % 2 == 0 && x.sym_size(3) % 2 == 0,
                    "dwt2d needs an even height and width, got ", x.sym_size(2), "x",
                    x.sym_size(3));
  return at::empty_symint({x.sym_size(0), x.sym_size(1) * 4, x.sym_size(2) / 2, x.sym_size(3) / 2},
                          x.options(), format_of(x));
}

Tensor haar(const Tensor& x, const Tensor& out, const Tensor& bands, bool inverse) {
  if (out.numel() == 0) return out;
  const auto format = format_of(x);
  const bool last = format == at::MemoryFormat::ChannelsLast;
  const Tensor from = x.contiguous(format);
  with_type(x, [&]<class S>(S) {
    const styleclip::Haar<S> a{bands.size(1) / 4, bands.size(2), bands.size(3), last};
    const int64_t rows = bands.size(0) * bands.size(2);
    at::parallel_for(0, rows, grain(bands.size(1) * bands.size(3)),
                     [&](int64_t begin, int64_t end) {
                       inverse ? styleclip::idwt2d(a, read<S>(from), write<S>(out), begin, end)
                               : styleclip::dwt2d(a, read<S>(from), write<S>(out), begin, end);
                     });
  });
  return out;
}

Tensor idwt2d_cpu(const Tensor& x) { return haar(x, idwt2d_output(x), x, true); }
Tensor dwt2d_cpu(const Tensor& x) {
  const Tensor out = dwt2d_output(x);
  return haar(x, out, out, false);
}

Tensor call_haar(const Tensor& x, bool inverse) {
  static const auto idwt = find<Tensor(const Tensor&)>("styleclip_rt::idwt2d");
  static const auto dwt = find<Tensor(const Tensor&)>("styleclip_rt::dwt2d");
  return inverse ? idwt.call(x) : dwt.call(x);
}

// Orthonormal, so that each direction carries the other's gradient.
template <bool inverse>
struct Wavelet : torch::autograd::Function<Wavelet<inverse>> {
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    return call_haar(x, inverse);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list grads) {
    return {call_haar(grads[0], !inverse)};
  }
};

Tensor idwt2d_autograd(const Tensor& x) { return Wavelet<true>::apply(x); }
Tensor dwt2d_autograd(const Tensor& x) { return Wavelet<false>::apply(x); }

}  // namespace

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def("bias_act(Tensor x, Tensor? bias, float slope, float gain, float? clamp) -> Tensor",
              {at::Tag::pt2_compliant_tag});
  library.def(
      "bias_act_backward(Tensor grad, Tensor y, float slope, float gain, float? clamp) -> Tensor",
      {at::Tag::pt2_compliant_tag});
  library.def(
      "upfirdn2d(Tensor x, Tensor kernel, SymInt up, SymInt down, SymInt[4] padding, float gain, "
      "bool flip) -> Tensor",
      {at::Tag::pt2_compliant_tag});
  library.def("idwt2d(Tensor x) -> Tensor", {at::Tag::pt2_compliant_tag});
  library.def("dwt2d(Tensor x) -> Tensor", {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) {
  library.impl("bias_act", bias_act_cpu);
  library.impl("bias_act_backward", bias_act_backward_cpu);
  library.impl("upfirdn2d", upfirdn2d_cpu);
  library.impl("idwt2d", idwt2d_cpu);
  library.impl("dwt2d", dwt2d_cpu);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) {
  library.impl("bias_act", bias_act_meta);
  library.impl("bias_act_backward", bias_act_backward_meta);
  library.impl("upfirdn2d", upfirdn2d_meta);
  library.impl("idwt2d", idwt2d_output);
  library.impl("dwt2d", dwt2d_output);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) {
  library.impl("bias_act", bias_act_autograd);
  library.impl("bias_act_backward", bias_act_backward_autograd);
  library.impl("upfirdn2d", upfirdn2d_autograd);
  library.impl("idwt2d", idwt2d_autograd);
  library.impl("dwt2d", dwt2d_autograd);
}
