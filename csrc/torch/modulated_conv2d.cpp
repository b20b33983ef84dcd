// styleclip_rt::modulated_conv2d and its gradient: schemas, checks, CPU, Meta, Autograd, Autocast.
#include "kernels/cpu/modulated_conv2d.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "kernels/cpu/bands.h"
#include "kernels/cpu/heuristics.h"
#include "torch/autocast.h"
#include "torch/checks.h"
#include "torch/composite_gradients.h"
#include "torch/op.h"
#include "torch/packed_weight.h"
#include "torch/parallel.h"

namespace modulated_conv2d_op {
namespace {

using at::Tensor;
using styleclip::given;
using styleclip::OptionalTensor;
using styleclip::wide;
using styleclip::wide_side;

constexpr const char* kName = "modulated_conv2d";

// The op's arguments, as every entry point gets them.
struct Layer {
  const Tensor& x;
  const Tensor& weight;
  const Tensor& style;
  const OptionalTensor& factor;
  const OptionalTensor& noise;
  const OptionalTensor& noise_strength;
  const OptionalTensor& bias;
  const OptionalTensor& rgb_weight;
  const OptionalTensor& rgb_style;
  bool up;
  double slope, gain;
  std::optional<double> clamp;

  c10::SymInt out_height() const { return x.sym_size(2) * (up ? 2 : 1); }
  c10::SymInt out_width() const { return x.sym_size(3) * (up ? 2 : 1); }

  void check() const {
    styleclip::check_activations(x, kName);
    TORCH_CHECK_VALUE(weight.dim() == 4, kName, " needs a weight [O, I, k, k], got ", weight.dim(),
                      " dimensions");
    const auto n = x.sym_size(0), inputs = x.sym_size(1), outputs = weight.sym_size(0);
    const auto k = weight.sym_size(2);
    TORCH_CHECK_VALUE(k == 3 || (k == 1 && !up), kName,
                      " takes kernels of 3x3, and 1x1 where it does not upsample, got ", k, "x",
                      weight.sym_size(3));
    styleclip::check_side(x, weight, "weight", {outputs, inputs, k, k}, kName);
    styleclip::check_side(x, style, "style", {n, inputs}, kName);
    styleclip::check_side(x, factor, "factor", {n, outputs}, kName);
    styleclip::check_side(x, bias, "bias", {outputs}, kName);
    TORCH_CHECK_VALUE(given(noise) == given(noise_strength), kName,
                      " needs noise and noise_strength together");
    if (given(noise)) {
      const auto samples = noise->dim() > 0 && noise->sym_size(0) == 1 ? c10::SymInt(1) : n;
      styleclip::check_side(x, noise, "noise", {samples, 1, out_height(), out_width()}, kName);
      styleclip::check_side(x, noise_strength, "noise_strength", {}, kName);
    }
    TORCH_CHECK_VALUE(given(rgb_weight) == given(rgb_style), kName,
                      " needs rgb_weight and rgb_style together");
    styleclip::check_side(x, rgb_weight, "rgb_weight", {3, outputs}, kName);
    styleclip::check_side(x, rgb_style, "rgb_style", {n, outputs}, kName);
    styleclip::check_fault(styleclip::activation_fault(kName, slope, gain, clamp));
  }
};

#define STYLECLIP_LAYER                                                                     \
  const Tensor &x, const Tensor &weight, const Tensor &style, const OptionalTensor &factor, \
      const OptionalTensor &noise, const OptionalTensor &noise_strength,                    \
      const OptionalTensor &bias, const OptionalTensor &rgb_weight,                         \
      const OptionalTensor &rgb_style, bool up, double slope, double gain,                  \
      std::optional<double> clamp
#define STYLECLIP_LAYER_ARGUMENTS                                                                \
  x, weight, style, factor, noise, noise_strength, bias, rgb_weight, rgb_style, up, slope, gain, \
      clamp

using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

// --- CPU ---

// The kernel's view of a layer, and the tensors whose memory it reads.
template <class S>
struct Prepared {
  using C = typename styleclip::ComputeType<S>::type;
  Tensor x, weight, style, factor, noise, bias, rgb_weight, rgb_style;
  styleclip::ModulatedConv<S> layer;

  Prepared(const Layer& a, styleclip::PackedFor use) {
    const auto type = a.x.scalar_type();
    x = styleclip::channels_last(a.x);
    const auto kernel = static_cast<int>(a.weight.size(2));
    const int tile =
        styleclip::winograd_tile(x.size(1), a.weight.size(0), x.size(2), x.size(3), kernel, a.up);
    weight = styleclip::packed_conv_weight<S>(a.weight, use, tile);
    style = wide_side(a.style, type);
    factor = wide_side(a.factor, type);
    noise = wide_side(a.noise, type);
    bias = wide_side(a.bias, type);
    rgb_weight = wide_side(a.rgb_weight, type);
    rgb_style = wide_side(a.rgb_style, type);
    layer = {
        x.size(1),
        a.weight.size(0),
        x.size(2),
        x.size(3),
        kernel,
        a.up,
        tile,
        static_cast<C>(a.slope),
        static_cast<C>(a.gain),
        styleclip::limit<S>(a.clamp),
        styleclip::read<S>(x),
        static_cast<const char*>(weight.const_data_ptr()),
        styleclip::pointer<C>(style),
        styleclip::pointer<C>(factor),
        styleclip::pointer<C>(noise),
        noise.defined() && noise.size(0) > 1 ? noise.size(2) * noise.size(3) : 0,
        noise.defined() ? static_cast<C>(a.noise_strength->item().toDouble()) : C(0),
        styleclip::pointer<C>(bias),
        styleclip::pointer<C>(rgb_weight),
        styleclip::pointer<C>(rgb_style),
    };
  }
};

template <class S>
void run_forward(const Layer& a, const Tensor& y, const Tensor& rgb) {
  using C = typename styleclip::ComputeType<S>::type;
  const Prepared<S> prepared(
      a, a.up ? styleclip::PackedFor::forward_up : styleclip::PackedFor::forward);
  const styleclip::ModulatedConvOutputs<S> out{
      styleclip::write<S>(y), given(a.rgb_weight) ? rgb.mutable_data_ptr<C>() : nullptr};
  const auto& kernels = styleclip::modulated_conv2d_kernels<S>();
  const styleclip::Bands bands(a.x.size(0), a.x.size(2), at::get_num_threads());
  bands.each(styleclip::parallel, [&](int64_t n, int64_t, int64_t begin, int64_t end) {
    kernels.forward(prepared.layer, out, n, begin, end);
  });
}

template <class S>
Gradients run_backward(const Layer& a, const Tensor& y, const OptionalTensor& grad_y,
                       const OptionalTensor& grad_rgb, bool need_x) {
  using C = typename styleclip::ComputeType<S>::type;
  const auto type = a.x.scalar_type();
  const Prepared<S> prepared(
      a, a.up ? styleclip::PackedFor::backward_up : styleclip::PackedFor::backward);
  const Tensor made = styleclip::channels_last(y);
  const Tensor grad = given(grad_y) ? styleclip::channels_last(grad_y->to(type)) : Tensor();
  const Tensor image = wide_side(grad_rgb, type);
  const int64_t n = a.x.size(0), inputs = a.x.size(1), outputs = a.weight.size(0);
  const auto sums = a.x.options().dtype(wide(type));
  const styleclip::Bands bands(n, a.x.size(2), at::get_num_threads());
  const int64_t parts = bands.per_sample;
  Tensor grad_x = need_x ? at::empty(a.x.sizes(), a.x.options(), at::MemoryFormat::ChannelsLast)
                         : at::empty({0}, a.x.options());
  Tensor style = at::zeros({n, parts, inputs}, sums);
  Tensor factor = at::zeros({n, parts, outputs}, sums);
  Tensor rgb_style = at::zeros({n, parts, outputs}, sums);
  Tensor strength = at::zeros({n, parts}, sums);
  const auto& kernels = styleclip::modulated_conv2d_kernels<S>();
  bands.each(styleclip::parallel, [&](int64_t sample, int64_t band, int64_t begin, int64_t end) {
    const int64_t at = sample * parts + band;
    const styleclip::ModulatedConvGradients<S> out{styleclip::read<S>(made),
                                                   styleclip::read<S>(grad),
                                                   styleclip::pointer<C>(image),
                                                   need_x ? styleclip::write<S>(grad_x) : nullptr,
                                                   style.mutable_data_ptr<C>() + at * inputs,
                                                   factor.mutable_data_ptr<C>() + at * outputs,
                                                   rgb_style.mutable_data_ptr<C>() + at * outputs,
                                                   strength.mutable_data_ptr<C>() + at};
    kernels.backward(prepared.layer, out, sample, begin, end);
  });
  const Tensor none = at::empty({0}, sums);
  return {grad_x, style.sum(1), given(a.factor) ? factor.sum(1) : none,
          given(a.noise) ? strength.sum() : none, given(a.rgb_weight) ? rgb_style.sum(1) : none};
}

std::tuple<Tensor, Tensor> empty_outputs(const Layer& a) {
  const auto n = a.x.sym_size(0);
  Tensor y = at::empty_symint({n, a.weight.sym_size(0), a.out_height(), a.out_width()},
                              a.x.options(), at::MemoryFormat::ChannelsLast);
  const auto image = a.x.options().dtype(wide(a.x.scalar_type()));
  Tensor rgb = given(a.rgb_weight) ? at::empty_symint({n, 3, a.out_height(), a.out_width()}, image)
                                   : at::empty({0}, image);
  return {y, rgb};
}

std::tuple<Tensor, Tensor> modulated_conv2d_cpu(STYLECLIP_LAYER) {
  const Layer layer{STYLECLIP_LAYER_ARGUMENTS};
  layer.check();
  auto [y, rgb] = empty_outputs(layer);
  // Without outputs the image is a sum of nothing.
  if (y.numel() == 0) return {y, rgb.zero_()};
  styleclip::with_type(x, [&, &y = y, &rgb = rgb]<class S>(S) { run_forward<S>(layer, y, rgb); });
  return {y, rgb};
}

Gradients empty_gradients(const Layer& a, bool need_x) {
  const auto sums = a.x.options().dtype(wide(a.x.scalar_type()));
  const auto n = a.x.sym_size(0), inputs = a.x.sym_size(1), outputs = a.weight.sym_size(0);
  const auto channels = [&](bool wanted) {
    return wanted ? at::empty_symint({n, outputs}, sums) : at::empty({0}, sums);
  };
  return {need_x ? at::empty_symint(a.x.sym_sizes(), a.x.options(), at::MemoryFormat::ChannelsLast)
                 : at::empty({0}, a.x.options()),
          at::empty_symint({n, inputs}, sums), channels(given(a.factor)),
          given(a.noise) ? at::empty({}, sums) : at::empty({0}, sums),
          channels(given(a.rgb_weight))};
}

void check_gradients(const Layer& a, const OptionalTensor& grad_y, const OptionalTensor& grad_rgb,
                     const Tensor& y) {
  a.check();
  const auto n = a.x.sym_size(0), outputs = a.weight.sym_size(0);
  TORCH_CHECK_VALUE(given(grad_y) || given(grad_rgb), kName, "_backward needs a gradient");
  TORCH_CHECK_VALUE(!given(grad_rgb) || given(a.rgb_weight), kName,
                    "_backward got the gradient of an image that was not made");
  TORCH_CHECK_TYPE(y.scalar_type() == a.x.scalar_type(), kName, "_backward: y is ", y.scalar_type(),
                   ", x is ", a.x.scalar_type());
  styleclip::check_side(a.x, y, "y", {n, outputs, a.out_height(), a.out_width()}, kName);
  styleclip::check_side(a.x, grad_y, "grad_y", {n, outputs, a.out_height(), a.out_width()}, kName);
  styleclip::check_side(a.x, grad_rgb, "grad_rgb", {n, 3, a.out_height(), a.out_width()}, kName);
}

Gradients modulated_conv2d_backward_cpu(const OptionalTensor& grad_y,
                                        const OptionalTensor& grad_rgb, const Tensor& y,
                                        STYLECLIP_LAYER, bool need_x) {
  const Layer layer{STYLECLIP_LAYER_ARGUMENTS};
  check_gradients(layer, grad_y, grad_rgb, y);
  if (y.numel() == 0) {
    auto [grad_x, grad_style, factor, strength, rgb_style] = empty_gradients(layer, need_x);
    return {grad_x.zero_(), grad_style.zero_(), factor.zero_(), strength.zero_(),
            rgb_style.zero_()};
  }
  return styleclip::with_type(
      x, [&]<class S>(S) { return run_backward<S>(layer, y, grad_y, grad_rgb, need_x); });
}

// --- Meta ---

std::tuple<Tensor, Tensor> modulated_conv2d_meta(STYLECLIP_LAYER) {
  const Layer layer{STYLECLIP_LAYER_ARGUMENTS};
  layer.check();
  return empty_outputs(layer);
}

Gradients modulated_conv2d_backward_meta(const OptionalTensor& grad_y,
                                         const OptionalTensor& grad_rgb, const Tensor& y,
                                         STYLECLIP_LAYER, bool need_x) {
  const Layer layer{STYLECLIP_LAYER_ARGUMENTS};
  check_gradients(layer, grad_y, grad_rgb, y);
  return empty_gradients(layer, need_x);
}

// --- Autograd ---

// The layer in torch's own differentiable operators, for the gradients that no kernel is written
// for: those of weights, biases and noise maps, and every second derivative.
torch::autograd::variable_list composite(STYLECLIP_LAYER) {
  const auto type = wide(x.scalar_type());
  const auto column = [&](const Tensor& side) { return side.to(type).unsqueeze(-1).unsqueeze(-1); };
  Tensor c = x.to(type) * column(style);
  const Tensor w = weight.to(type);
  if (x.sym_size(1) == 0) {  // a sum over no channels
    const int scale = up ? 2 : 1;
    c = at::zeros_symint(
        {x.sym_size(0), w.sym_size(0), x.sym_size(2) * scale, x.sym_size(3) * scale}, c.options());
  } else if (up) {
    c = at::conv_transpose2d(c, w.transpose(0, 1), {}, 2);
    const Tensor taps = at::tensor({0.25, 0.75, 0.75, 0.25}, c.options());
    const Tensor filter = (taps.unsqueeze(1) * taps).expand_symint({w.sym_size(0), 1, 4, 4});
    c = at::conv2d_symint(c, filter, {}, {c10::SymInt(1), c10::SymInt(1)},
                          {c10::SymInt(1), c10::SymInt(1)}, {c10::SymInt(1), c10::SymInt(1)},
                          w.sym_size(0));
  } else {
    const auto border = (w.sym_size(2) - 1) / 2;
    c = at::conv2d_symint(c, w, {}, {c10::SymInt(1), c10::SymInt(1)}, {border, border});
  }
  if (given(factor)) c = c * column(*factor);
  if (given(noise)) c = c + noise->to(type) * noise_strength->to(type);
  if (given(bias)) c = c + column(*bias);
  Tensor y = at::leaky_relu(c, styleclip::in_float(slope)) * gain;
  if (clamp) y = y.clamp(-styleclip::in_float(*clamp), styleclip::in_float(*clamp));
  Tensor rgb;
  if (given(rgb_weight)) {
    rgb = at::conv2d(y * column(*rgb_style), column(*rgb_weight));
  }
  return {y.to(x.scalar_type()), rgb};
}

struct ModulatedConv2d : torch::autograd::Function<ModulatedConv2d> {
  // The saved tensors, in the order of the arguments; y comes last.
  static constexpr size_t kTensors = 9;

  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                STYLECLIP_LAYER) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    auto [y, rgb] = styleclip::call<"modulated_conv2d", decltype(modulated_conv2d_meta)>(
        STYLECLIP_LAYER_ARGUMENTS);
    using styleclip::plain;
    context->save_for_backward({x, weight, style, plain(factor), plain(noise),
                                plain(noise_strength), plain(bias), plain(rgb_weight),
                                plain(rgb_style), y});
    context->set_materialize_grads(false);
    auto& saved = context->saved_data;
    saved["up"] = up;
    saved["slope"] = slope;
    saved["gain"] = gain;
    saved["clamp"] = clamp;
    if (!given(rgb_weight)) context->mark_non_differentiable({rgb});
    return {y, rgb};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    torch::autograd::variable_list result(13);
    if (!grads[0].defined() && !grads[1].defined()) return result;
    auto tensors = context->get_saved_variables();
    auto& saved = context->saved_data;
    const bool up = saved["up"].toBool();
    const double slope = saved["slope"].toDouble(), gain = saved["gain"].toDouble();
    const auto clamp = saved["clamp"].toOptional<double>();
    const auto optional = [&](size_t i) { return styleclip::optional(tensors[i]); };
    const auto run = [&](const auto& function, auto&&... rest) {
      return function(tensors[0], tensors[1], tensors[2], optional(3), optional(4), optional(5),
                      optional(6), optional(7), optional(8), up, slope, gain, clamp, rest...);
    };
    const auto places = styleclip::wanted_gradients(*context, tensors, kTensors);
    const auto wanted = [&](size_t i) { return styleclip::contains(places, i); };
    if (at::GradMode::is_enabled() || wanted(1) || wanted(4) || wanted(6) || wanted(7)) {
      const auto found = styleclip::composite_gradients(tensors, places, grads, tensors[9], [&] {
        const auto outputs =
            run([](STYLECLIP_LAYER) { return composite(STYLECLIP_LAYER_ARGUMENTS); });
        return torch::autograd::variable_list(outputs.begin(), outputs.end());
      });
      for (size_t i = 0; i < found.size(); ++i) result[places[i]] = found[i];
      return result;
    }
    auto [grad_x, style, factor, strength, rgb_style] = run(
        [&](STYLECLIP_LAYER, bool need_x) {
          return styleclip::call<"modulated_conv2d_backward",
                                 decltype(modulated_conv2d_backward_meta)>(
              styleclip::optional(grads[0]), styleclip::optional(grads[1]), tensors[9],
              STYLECLIP_LAYER_ARGUMENTS, need_x);
        },
        wanted(0));
    if (wanted(0)) result[0] = grad_x;
    if (wanted(2)) result[2] = style;
    if (wanted(3)) result[3] = factor;
    if (wanted(5)) result[5] = strength;
    if (wanted(8)) result[8] = rgb_style;
    return result;
  }
};

std::tuple<Tensor, Tensor> modulated_conv2d_autograd(STYLECLIP_LAYER) {
  auto outputs = ModulatedConv2d::apply(STYLECLIP_LAYER_ARGUMENTS);
  return {outputs[0], outputs[1]};
}

}  // namespace

#define STYLECLIP_LAYER_SCHEMA                                                                     \
  "Tensor x, Tensor weight, Tensor style, Tensor? factor, Tensor? noise, Tensor? noise_strength, " \
  "Tensor? bias, Tensor? rgb_weight, Tensor? rgb_style, bool up, float slope, float gain, "        \
  "float? clamp"

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def("modulated_conv2d(" STYLECLIP_LAYER_SCHEMA ") -> (Tensor y, Tensor rgb)",
              {at::Tag::pt2_compliant_tag});
  library.def(
      "modulated_conv2d_backward(Tensor? grad_y, Tensor? grad_rgb, Tensor "
      "y, " STYLECLIP_LAYER_SCHEMA
      ", bool need_x) -> (Tensor x, Tensor style, Tensor factor, "
      "Tensor noise_strength, Tensor rgb_style)",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) {
  library.impl("modulated_conv2d", modulated_conv2d_cpu);
  library.impl("modulated_conv2d_backward", modulated_conv2d_backward_cpu);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) {
  library.impl("modulated_conv2d", modulated_conv2d_meta);
  library.impl("modulated_conv2d_backward", modulated_conv2d_backward_meta);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) {
  library.impl("modulated_conv2d", modulated_conv2d_autograd);
}

TORCH_LIBRARY_IMPL(styleclip_rt, AutocastCPU, library) {
  library.impl("modulated_conv2d",
               styleclip::autocast_cpu<"modulated_conv2d", decltype(modulated_conv2d_meta)>);
}

TORCH_LIBRARY_IMPL(styleclip_rt, AutocastCUDA, library) {
  library.impl("modulated_conv2d",
               styleclip::autocast_cuda<"modulated_conv2d", decltype(modulated_conv2d_meta)>);
}

}  // namespace modulated_conv2d_op
