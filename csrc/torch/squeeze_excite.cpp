// styleclip_rt::squeeze_excite and its gradient: schemas, checks, CPU, Meta, Autograd, Autocast.
#include "kernels/cpu/squeeze_excite.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include "kernels/cpu/heuristics.h"
#include "torch/autocast.h"
#include "torch/checks.h"
#include "torch/composite_gradients.h"
#include "torch/op.h"
#include "torch/parallel.h"

namespace squeeze_excite_op {
namespace {

using at::Tensor;

constexpr const char* kName = "squeeze_excite";

void check(const Tensor& x, const Tensor& other, const char* name, const Tensor& squeeze,
           const Tensor& excite) {
  styleclip::check_activations(x, kName);
  TORCH_CHECK_VALUE(squeeze.dim() == 2, kName, " needs squeeze [R, C], got ", squeeze.dim(),
                    " dimensions");
  const auto channels = x.sym_size(1), hidden = squeeze.sym_size(0);
  TORCH_CHECK_TYPE(other.scalar_type() == x.scalar_type(), kName, ": ", name, " is ",
                   other.scalar_type(), ", x is ", x.scalar_type());
  styleclip::check_side(x, other, name, x.sym_sizes(), kName);
  styleclip::check_side(x, squeeze, "squeeze", {hidden, channels}, kName);
  styleclip::check_side(x, excite, "excite", {channels, hidden}, kName);
}

Tensor empty_image(const Tensor& like) {
  return at::empty_symint(like.sym_sizes(), like.options(), at::MemoryFormat::ChannelsLast);
}

Tensor empty_pooled(const Tensor& x) {
  return at::empty_symint({x.sym_size(0), x.sym_size(1)},
                          x.options().dtype(styleclip::wide(x.scalar_type())));
}

// --- CPU ---

// Pixels [begin, end) of an image are a thread's work, if there are enough of them to part.
template <class Run>
void in_parts(const Tensor& x, const Run& run) {
  const int64_t pixels = x.size(2) * x.size(3);
  const int64_t parts = styleclip::worth_parting(pixels * x.size(1)) ? at::get_num_threads() : 1;
  styleclip::parallel(parts, 1, [&](int64_t from, int64_t until) {
    for (int64_t i = from; i < until; ++i) run(i, pixels * i / parts, pixels * (i + 1) / parts);
  });
}

// Images and weights as the kernels read them.
template <class S>
struct Prepared {
  using C = typename styleclip::ComputeType<S>::type;
  Tensor x, other, squeeze, excite;
  styleclip::ChannelGate<C> layer;
  const styleclip::SqueezeExciteKernels<S>& kernels = styleclip::squeeze_excite_kernels<S>();

  Prepared(const Tensor& x_in, const Tensor& other_in, const Tensor& squeeze_in,
           const Tensor& excite_in) {
    x = styleclip::channels_last(x_in);
    other = styleclip::channels_last(other_in);
    squeeze = styleclip::wide_side(squeeze_in, x.scalar_type());
    excite = styleclip::wide_side(excite_in, x.scalar_type());
    layer = {x.size(1), squeeze.size(0), styleclip::pointer<C>(squeeze),
             styleclip::pointer<C>(excite)};
  }

  const S* image(const Tensor& of, int64_t n) const {
    return styleclip::read<S>(of) + n * x.size(1) * x.size(2) * x.size(3);
  }
  S* image(Tensor& of, int64_t n) const {
    return styleclip::write<S>(of) + n * x.size(1) * x.size(2) * x.size(3);
  }

  // Sums of a, or of a * b, over the pixels: [C].
  std::vector<C> sums(const S* a, const S* b) const {
    const int64_t channels = x.size(1);
    std::vector<C> sums(channels * at::get_num_threads());
    in_parts(x, [&](int64_t part, int64_t begin, int64_t end) {
      kernels.sum_pixels(a, b, channels, begin, end, sums.data() + part * channels);
    });
    for (size_t i = channels; i < sums.size(); ++i) sums[i % channels] += sums[i];
    sums.resize(channels);
    return sums;
  }
};

template <class S>
void run_forward(const Prepared<S>& prepared, Tensor& out, Tensor& pooled) {
  using C = typename styleclip::ComputeType<S>::type;
  const int64_t channels = out.size(1), pixels = out.size(2) * out.size(3);
  std::vector<C> gate(channels);
  for (int64_t n = 0; n < out.size(0); ++n) {
    const S* x = prepared.image(prepared.x, n);
    C* mean = pooled.mutable_data_ptr<C>() + n * channels;
    const auto sums = prepared.sums(x, nullptr);
    std::transform(sums.begin(), sums.end(), mean, [&](C sum) { return sum / pixels; });
    prepared.kernels.gate(prepared.layer, mean, gate.data());
    in_parts(out, [&](int64_t, int64_t begin, int64_t end) {
      prepared.kernels.scale_pixels(x, gate.data(), prepared.image(prepared.other, n), nullptr,
                                    channels, begin, end, prepared.image(out, n));
    });
  }
}

template <class S>
void run_backward(const Prepared<S>& prepared, const Tensor& pooled, Tensor& grad_x) {
  using C = typename styleclip::ComputeType<S>::type;
  const int64_t channels = grad_x.size(1), pixels = grad_x.size(2) * grad_x.size(3);
  std::vector<C> gate(channels), constant(channels);
  for (int64_t n = 0; n < grad_x.size(0); ++n) {
    const S* grad = prepared.image(prepared.other, n);
    const C* mean = pooled.const_data_ptr<C>() + n * channels;
    const auto grad_gate = prepared.sums(prepared.image(prepared.x, n), grad);
    prepared.kernels.gate(prepared.layer, mean, gate.data());
    prepared.kernels.gate_backward(prepared.layer, mean, gate.data(), grad_gate.data(),
                                   constant.data());
    for (C& share : constant) share /= pixels;
    in_parts(grad_x, [&](int64_t, int64_t begin, int64_t end) {
      prepared.kernels.scale_pixels(grad, gate.data(), nullptr, constant.data(), channels, begin,
                                    end, prepared.image(grad_x, n));
    });
  }
}

// Calls run(prepared) for the type of the images.
template <class Run>
void prepare(const Tensor& x, const Tensor& other, const Tensor& squeeze, const Tensor& excite,
             const Run& run) {
  styleclip::with_type(x, [&]<class S>(S) { run(Prepared<S>(x, other, squeeze, excite)); });
}

std::tuple<Tensor, Tensor> squeeze_excite_cpu(const Tensor& x, const Tensor& shortcut,
                                              const Tensor& squeeze, const Tensor& excite) {
  check(x, shortcut, "shortcut", squeeze, excite);
  Tensor out = empty_image(x), pooled = empty_pooled(x);
  if (out.numel() == 0) return {out, pooled.zero_()};
  prepare(x, shortcut, squeeze, excite,
          [&]<class S>(const Prepared<S>& prepared) { run_forward(prepared, out, pooled); });
  return {out, pooled};
}

void check_gradient(const Tensor& grad, const Tensor& x, const Tensor& pooled,
                    const Tensor& squeeze, const Tensor& excite) {
  check(x, grad, "grad", squeeze, excite);
  styleclip::check_side(x, pooled, "pooled", {x.sym_size(0), x.sym_size(1)}, kName);
}

Tensor squeeze_excite_backward_cpu(const Tensor& grad, const Tensor& x, const Tensor& pooled,
                                   const Tensor& squeeze, const Tensor& excite) {
  check_gradient(grad, x, pooled, squeeze, excite);
  Tensor grad_x = empty_image(x);
  if (grad_x.numel() == 0) return grad_x;
  const Tensor means = styleclip::wide_side(pooled, x.scalar_type());
  prepare(x, grad, squeeze, excite,
          [&]<class S>(const Prepared<S>& prepared) { run_backward(prepared, means, grad_x); });
  return grad_x;
}

// --- Meta ---

std::tuple<Tensor, Tensor> squeeze_excite_meta(const Tensor& x, const Tensor& shortcut,
                                               const Tensor& squeeze, const Tensor& excite) {
  check(x, shortcut, "shortcut", squeeze, excite);
  return {empty_image(x), empty_pooled(x)};
}

Tensor squeeze_excite_backward_meta(const Tensor& grad, const Tensor& x, const Tensor& pooled,
                                    const Tensor& squeeze, const Tensor& excite) {
  check_gradient(grad, x, pooled, squeeze, excite);
  return empty_image(x);
}

// --- Autograd ---

// In torch's own differentiable operators, for second derivatives and the gradients of weights.
Tensor composite(const Tensor& x_in, const Tensor& shortcut, const Tensor& squeeze,
                 const Tensor& excite) {
  const auto type = styleclip::wide(x_in.scalar_type());
  const Tensor x = x_in.to(type);
  const Tensor hidden = at::relu(at::linear(x.mean({2, 3}), squeeze.to(type)));
  const Tensor gate = at::sigmoid(at::linear(hidden, excite.to(type)));
  return (x * gate.unsqueeze(-1).unsqueeze(-1) + shortcut.to(type)).to(x_in.scalar_type());
}

struct SqueezeExcite : torch::autograd::Function<SqueezeExcite> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const Tensor& x, const Tensor& shortcut,
                                                const Tensor& squeeze, const Tensor& excite) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    auto [out, pooled] = styleclip::call<"squeeze_excite", decltype(squeeze_excite_meta)>(
        x, shortcut, squeeze, excite);
    context->save_for_backward({x, squeeze, excite, pooled});
    context->mark_non_differentiable({pooled});
    context->set_materialize_grads(false);
    return {out, pooled};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    torch::autograd::variable_list result(4);
    const Tensor grad = grads[0];
    if (!grad.defined()) return result;
    auto saved = context->get_saved_variables();
    if (context->needs_input_grad(1)) result[1] = grad;
    // Places of what is saved among the arguments.
    constexpr std::array<size_t, 3> places{0, 2, 3};
    std::vector<size_t> wanted;
    for (size_t i = 0; i < places.size(); ++i) {
      if (context->needs_input_grad(places[i])) wanted.push_back(i);
    }
    if (wanted.empty()) return result;
    if (!at::GradMode::is_enabled() && wanted == std::vector<size_t>{0}) {
      result[0] =
          styleclip::call<"squeeze_excite_backward", decltype(squeeze_excite_backward_meta)>(
              grad, saved[0], saved[3], saved[1], saved[2]);
      return result;
    }
    const auto found = styleclip::composite_gradients(saved, wanted, grads, grad, [&] {
      // The shortcut has no part in these gradients.
      const Tensor none = at::zeros({}, saved[0].options());
      return torch::autograd::variable_list{composite(saved[0], none, saved[1], saved[2])};
    });
    for (size_t i = 0; i < found.size(); ++i) result[places[wanted[i]]] = found[i];
    return result;
  }
};

std::tuple<Tensor, Tensor> squeeze_excite_autograd(const Tensor& x, const Tensor& shortcut,
                                                   const Tensor& squeeze, const Tensor& excite) {
  auto outputs = SqueezeExcite::apply(x, shortcut, squeeze, excite);
  return {outputs[0], outputs[1]};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def(
      "squeeze_excite(Tensor x, Tensor shortcut, Tensor squeeze, Tensor excite) -> (Tensor out, "
      "Tensor pooled)",
      {at::Tag::pt2_compliant_tag});
  library.def(
      "squeeze_excite_backward(Tensor grad, Tensor x, Tensor pooled, Tensor squeeze, Tensor "
      "excite) -> Tensor",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) {
  library.impl("squeeze_excite", squeeze_excite_cpu);
  library.impl("squeeze_excite_backward", squeeze_excite_backward_cpu);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) {
  library.impl("squeeze_excite", squeeze_excite_meta);
  library.impl("squeeze_excite_backward", squeeze_excite_backward_meta);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) {
  library.impl("squeeze_excite", squeeze_excite_autograd);
}

TORCH_LIBRARY_IMPL(styleclip_rt, AutocastCPU, library) {
  library.impl("squeeze_excite",
               styleclip::autocast_cpu<"squeeze_excite", decltype(squeeze_excite_meta), 2>);
}

}  // namespace squeeze_excite_op
