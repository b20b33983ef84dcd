// styleclip_rt::separable_conv2d and its gradient: schemas, checks, CPU, Meta, Autograd, Autocast.
#include "kernels/cpu/separable_conv2d.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/pixel_shuffle.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "kernels/cpu/bands.h"
#include "torch/autocast.h"
#include "torch/checks.h"
#include "torch/composite_gradients.h"
#include "torch/op.h"
#include "torch/packed_weight.h"
#include "torch/parallel.h"

namespace separable_conv2d_op {
namespace {

using at::Tensor;
using styleclip::given;
using styleclip::OptionalTensor;
using styleclip::wide;
using styleclip::wide_side;

constexpr const char* kName = "separable_conv2d";

// What the input and the gradients are checked against; the sizes of the depthwise convolution.
struct Layer {
  const Tensor& x;
  const Tensor& style;
  const OptionalTensor& up_style;
  const Tensor& depthwise;
  const Tensor& pointwise;
  double slope;

  bool up() const { return given(up_style); }
  c10::SymInt channels() const { return depthwise.sym_size(0); }
  c10::SymInt outputs() const { return pointwise.sym_size(0); }
  c10::SymInt height() const { return x.sym_size(2) * (up() ? 2 : 1); }
  c10::SymInt width() const { return x.sym_size(3) * (up() ? 2 : 1); }

  void check() const {
    styleclip::check_activations(x, kName);
    TORCH_CHECK_VALUE(depthwise.dim() == 4 && pointwise.dim() == 4, kName,
                      " needs weights [C, 1, 3, 3] and [O, C, 1, 1]");
    const auto n = x.sym_size(0);
    TORCH_CHECK_VALUE(x.sym_size(1) == channels() * (up() ? 4 : 1), kName, " got ", x.sym_size(1),
                      " channels for a depthwise convolution of ", channels(),
                      up() ? " behind a wavelet" : "");
    styleclip::check_side(x, style, "style", {n, channels()}, kName);
    styleclip::check_side(x, up_style, "up_style", {n, 4 * channels()}, kName);
    styleclip::check_side(x, depthwise, "depthwise", {channels(), 1, 3, 3}, kName);
    styleclip::check_side(x, pointwise, "pointwise", {outputs(), channels(), 1, 1}, kName);
    styleclip::check_fault(styleclip::activation_fault(kName, slope, 1.0, {}));
  }

  void check(const OptionalTensor& bias, const OptionalTensor& noise) const {
    check();
    styleclip::check_side(x, bias, "bias", {outputs()}, kName);
    styleclip::check_side(x, noise, "noise", {1, 1, height(), width()}, kName);
  }

  void check(const Tensor& grad, const Tensor& y) const {
    check();
    const auto n = x.sym_size(0);
    styleclip::check_side(x, grad, "the gradient", {n, outputs(), height(), width()}, kName);
    styleclip::check_side(x, y, "y", {n, outputs(), height(), width()}, kName);
    TORCH_CHECK_TYPE(y.scalar_type() == x.scalar_type(), kName, "_backward: y is ", y.scalar_type(),
                     ", x is ", x.scalar_type());
  }
};

using Gradients = std::tuple<Tensor, Tensor, Tensor>;

// --- CPU ---

// The kernel's view of a layer, and the tensors whose memory it reads.
template <class S>
struct Prepared {
  using C = typename styleclip::ComputeType<S>::type;
  Tensor x, style, up_style, depthwise, pointwise, bias, noise;
  styleclip::SeparableConv<S> layer;

  Prepared(const Layer& a, const OptionalTensor& bias_in, const OptionalTensor& noise_in,
           styleclip::PackedFor direction) {
    const auto type = a.x.scalar_type();
    x = styleclip::channels_last(a.x);
    style = wide_side(a.style, type);
    up_style = wide_side(a.up_style, type);
    depthwise = wide_side(a.depthwise, type);
    pointwise = styleclip::packed_conv_weight<S>(a.pointwise, direction);
    bias = wide_side(bias_in, type);
    noise = wide_side(noise_in, type);
    layer = {a.depthwise.size(0),
             a.pointwise.size(0),
             x.size(2),
             x.size(3),
             a.up(),
             static_cast<C>(a.slope),
             styleclip::read<S>(x),
             styleclip::pointer<C>(style),
             styleclip::pointer<C>(up_style),
             styleclip::pointer<C>(depthwise),
             static_cast<const char*>(pointwise.const_data_ptr()),
             styleclip::pointer<C>(bias),
             styleclip::pointer<C>(noise)};
  }
};

template <class S>
void run_forward(const Layer& a, const OptionalTensor& bias, const OptionalTensor& noise,
                 const Tensor& y) {
  const Prepared<S> prepared(a, bias, noise, styleclip::PackedFor::forward);
  S* to = styleclip::write<S>(y);
  const auto& kernels = styleclip::separable_conv2d_kernels<S>();
  const styleclip::Bands bands(a.x.size(0), a.x.size(2), at::get_num_threads());
  bands.each(styleclip::parallel, [&](int64_t n, int64_t, int64_t begin, int64_t end) {
    kernels.forward(prepared.layer, to, n, begin, end);
  });
}

template <class S>
Gradients run_backward(const Layer& a, const Tensor& grad, const Tensor& y, bool need_x) {
  using C = typename styleclip::ComputeType<S>::type;
  const auto type = a.x.scalar_type();
  const Prepared<S> prepared(a, {}, {}, styleclip::PackedFor::backward);
  const Tensor made = styleclip::channels_last(y);
  const Tensor from = styleclip::channels_last(grad.to(type));
  const int64_t n = a.x.size(0), channels = a.depthwise.size(0);
  const auto sums = a.x.options().dtype(wide(type));
  const styleclip::Bands bands(n, a.x.size(2), at::get_num_threads());
  const int64_t parts = bands.per_sample;
  Tensor grad_x = need_x ? at::empty(a.x.sizes(), a.x.options(), at::MemoryFormat::ChannelsLast)
                         : at::empty({0}, a.x.options());
  Tensor style = at::zeros({n, parts, channels}, sums);
  Tensor up_style = at::zeros({n, parts, 4 * channels}, sums);
  const auto& kernels = styleclip::separable_conv2d_kernels<S>();
  bands.each(styleclip::parallel, [&](int64_t sample, int64_t band, int64_t begin, int64_t end) {
    const int64_t at = sample * parts + band;
    const styleclip::SeparableConvGradients<S> out{
        styleclip::read<S>(made), styleclip::read<S>(from),
        need_x ? styleclip::write<S>(grad_x) : nullptr, style.mutable_data_ptr<C>() + at * channels,
        up_style.mutable_data_ptr<C>() + at * 4 * channels};
    kernels.backward(prepared.layer, out, sample, begin, end);
  });
  return {grad_x, style.sum(1), a.up() ? up_style.sum(1) : at::empty({0}, sums)};
}

Tensor empty_output(const Layer& a) {
  return at::empty_symint({a.x.sym_size(0), a.outputs(), a.height(), a.width()}, a.x.options(),
                          at::MemoryFormat::ChannelsLast);
}

Gradients empty_gradients(const Layer& a, bool need_x) {
  const auto sums = a.x.options().dtype(wide(a.x.scalar_type()));
  return {need_x ? at::empty_symint(a.x.sym_sizes(), a.x.options(), at::MemoryFormat::ChannelsLast)
                 : at::empty({0}, a.x.options()),
          at::empty_symint(a.style.sym_sizes(), sums),
          a.up() ? at::empty_symint(a.up_style->sym_sizes(), sums) : at::empty({0}, sums)};
}

Tensor separable_conv2d_cpu(const Tensor& x, const Tensor& style, const OptionalTensor& up_style,
                            const Tensor& depthwise, const Tensor& pointwise,
                            const OptionalTensor& bias, const OptionalTensor& noise, double slope) {
  const Layer layer{x, style, up_style, depthwise, pointwise, slope};
  layer.check(bias, noise);
  const Tensor y = empty_output(layer);
  if (y.numel() == 0) return y;
  styleclip::with_type(x, [&]<class S>(S) { run_forward<S>(layer, bias, noise, y); });
  return y;
}

Gradients separable_conv2d_backward_cpu(const Tensor& grad, const Tensor& x, const Tensor& y,
                                        const Tensor& style, const OptionalTensor& up_style,
                                        const Tensor& depthwise, const Tensor& pointwise,
                                        double slope, bool need_x) {
  const Layer layer{x, style, up_style, depthwise, pointwise, slope};
  layer.check(grad, y);
  if (y.numel() == 0) {
    auto [grad_x, grad_style, grad_up_style] = empty_gradients(layer, need_x);
    return {grad_x.zero_(), grad_style.zero_(), grad_up_style.zero_()};
  }
  return styleclip::with_type(x,
                              [&]<class S>(S) { return run_backward<S>(layer, grad, y, need_x); });
}

// --- Meta ---

Tensor separable_conv2d_meta(const Tensor& x, const Tensor& style, const OptionalTensor& up_style,
                             const Tensor& depthwise, const Tensor& pointwise,
                             const OptionalTensor& bias, const OptionalTensor& noise,
                             double slope) {
  const Layer layer{x, style, up_style, depthwise, pointwise, slope};
  layer.check(bias, noise);
  return empty_output(layer);
}

Gradients separable_conv2d_backward_meta(const Tensor& grad, const Tensor& x, const Tensor& y,
                                         const Tensor& style, const OptionalTensor& up_style,
                                         const Tensor& depthwise, const Tensor& pointwise,
                                         double slope, bool need_x) {
  const Layer layer{x, style, up_style, depthwise, pointwise, slope};
  layer.check(grad, y);
  return empty_gradients(layer, need_x);
}

// --- Autograd ---

// The layer in torch's own differentiable operators, for the gradients that no kernel is written
// for: those of weights, biases and noise maps, and every second derivative.
Tensor composite(const torch::autograd::variable_list& tensors, double slope) {
  const Tensor &x = tensors[0], &up_style = tensors[2], &bias = tensors[5], &noise = tensors[6];
  const auto type = wide(x.scalar_type());
  const auto column = [&](const Tensor& side) { return side.to(type).unsqueeze(-1).unsqueeze(-1); };
  Tensor z = x.to(type);
  if (up_style.defined() && x.sym_size(1) > 0) {
    z = z * column(up_style);
    const auto c = tensors[3].sym_size(0);
    const Tensor low = z.slice_symint(1, 0, c);
    const Tensor details = z.slice_symint(1, c).unflatten_symint(1, {c, 3});
    const Tensor vertical = details.select(2, 0), horizontal = details.select(2, 1),
                 diagonal = details.select(2, 2);
    const Tensor top = low + vertical, bottom = low - vertical;
    const Tensor quads = at::stack({top + horizontal + diagonal, top - horizontal - diagonal,
                                    bottom + horizontal - diagonal, bottom - horizontal + diagonal},
                                   2);
    z = at::pixel_shuffle(quads.flatten(1, 2) * 0.5, 2);
  }
  if (x.sym_size(1) == 0) {  // a sum over no channels
    const int scale = up_style.defined() ? 2 : 1;
    z = at::zeros_symint(
        {x.sym_size(0), tensors[4].sym_size(0), x.sym_size(2) * scale, x.sym_size(3) * scale},
        z.options());
  } else {
    z = at::conv2d_symint(z * column(tensors[1]), tensors[3].to(type), {},
                          {c10::SymInt(1), c10::SymInt(1)}, {c10::SymInt(1), c10::SymInt(1)},
                          {c10::SymInt(1), c10::SymInt(1)}, tensors[3].sym_size(0));
    z = at::conv2d(z, tensors[4].to(type));
  }
  if (bias.defined()) z = z + column(bias);
  if (noise.defined()) z = z + noise.to(type);
  return at::leaky_relu(z, styleclip::in_float(slope)).to(x.scalar_type());
}

struct SeparableConv2d : torch::autograd::Function<SeparableConv2d> {
  static constexpr size_t kTensors = 7;  // the saved arguments, in order; y comes last

  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const Tensor& style, const OptionalTensor& up_style,
                        const Tensor& depthwise, const Tensor& pointwise,
                        const OptionalTensor& bias, const OptionalTensor& noise, double slope) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor y = styleclip::call<"separable_conv2d", decltype(separable_conv2d_meta)>(
        x, style, up_style, depthwise, pointwise, bias, noise, slope);
    using styleclip::plain;
    context->save_for_backward(
        {x, style, plain(up_style), depthwise, pointwise, plain(bias), plain(noise), y});
    context->saved_data["slope"] = slope;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    torch::autograd::variable_list result(8);
    auto tensors = context->get_saved_variables();
    const double slope = context->saved_data["slope"].toDouble();
    const auto places = styleclip::wanted_gradients(*context, tensors, kTensors);
    const auto wanted = [&](size_t i) { return styleclip::contains(places, i); };
    if (at::GradMode::is_enabled() || wanted(3) || wanted(4) || wanted(5) || wanted(6)) {
      const auto found = styleclip::composite_gradients(tensors, places, grads, tensors[7], [&] {
        return torch::autograd::variable_list{composite(tensors, slope)};
      });
      for (size_t i = 0; i < found.size(); ++i) result[places[i]] = found[i];
      return result;
    }
    auto [grad_x, style, up_style] =
        styleclip::call<"separable_conv2d_backward", decltype(separable_conv2d_backward_meta)>(
            grads[0], tensors[0], tensors[7], tensors[1], styleclip::optional(tensors[2]),
            tensors[3], tensors[4], slope, wanted(0));
    if (wanted(0)) result[0] = grad_x;
    if (wanted(1)) result[1] = style;
    if (wanted(2)) result[2] = up_style;
    return result;
  }
};

Tensor separable_conv2d_autograd(const Tensor& x, const Tensor& style,
                                 const OptionalTensor& up_style, const Tensor& depthwise,
                                 const Tensor& pointwise, const OptionalTensor& bias,
                                 const OptionalTensor& noise, double slope) {
  return SeparableConv2d::apply(x, style, up_style, depthwise, pointwise, bias, noise, slope);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def(
      "separable_conv2d(Tensor x, Tensor style, Tensor? up_style, Tensor depthwise, "
      "Tensor pointwise, Tensor? bias, Tensor? noise, float slope) -> Tensor",
      {at::Tag::pt2_compliant_tag});
  library.def(
      "separable_conv2d_backward(Tensor grad, Tensor x, Tensor y, Tensor style, Tensor? up_style, "
      "Tensor depthwise, Tensor pointwise, float slope, bool need_x) "
      "-> (Tensor x, Tensor style, Tensor up_style)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) {
  library.impl("separable_conv2d", separable_conv2d_cpu);
  library.impl("separable_conv2d_backward", separable_conv2d_backward_cpu);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) {
  library.impl("separable_conv2d", separable_conv2d_meta);
  library.impl("separable_conv2d_backward", separable_conv2d_backward_meta);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) {
  library.impl("separable_conv2d", separable_conv2d_autograd);
}

TORCH_LIBRARY_IMPL(styleclip_rt, AutocastCPU, library) {
  library.impl("separable_conv2d",
               styleclip::autocast_cpu<"separable_conv2d", decltype(separable_conv2d_meta)>);
}

TORCH_LIBRARY_IMPL(styleclip_rt, AutocastCUDA, library) {
  library.impl("separable_conv2d",
               styleclip::autocast_cuda<"separable_conv2d", decltype(separable_conv2d_meta)>);
}

}  // namespace separable_conv2d_op
