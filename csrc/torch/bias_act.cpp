// styleclip_rt::bias_act and its gradient: schemas, checks, CPU, Meta, Autograd.
#include "kernels/cpu/bias_act.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <vector>

#include "kernels/cpu/heuristics.h"
#include "torch/checks.h"
#include "torch/op.h"
#include "torch/parallel.h"

namespace bias_act_op {
namespace {

using at::Tensor;
using styleclip::given;
using styleclip::OptionalTensor;
using MaybeDouble = std::optional<double>;

// --- Meta ---

Tensor bias_act_meta(const Tensor& x, const OptionalTensor& bias, double, double gain,
                     MaybeDouble clamp) {
  TORCH_CHECK_VALUE(x.dim() >= 2, "bias_act needs activations [N, C, ...], got ", x.dim(),
                    " dimensions");
  styleclip::check_type(x, "bias_act");
  styleclip::check_fault(styleclip::sizes_fault("bias_act", "the activations", x.sym_sizes()));
  styleclip::check_side(x, bias, "bias", {x.sym_size(1)}, "bias_act");
  // A slope may have either sign here.
  styleclip::check_fault(styleclip::activation_fault("bias_act", 1.0, gain, clamp));
  return at::empty_symint(x.sym_sizes(), x.options(), styleclip::format_of(x));
}

Tensor bias_act_backward_meta(const Tensor& grad, const Tensor& y, double slope, double gain,
                              MaybeDouble clamp) {
  styleclip::check_side(y, grad, "the gradient", y.sym_sizes(), "bias_act_backward");
  return bias_act_meta(y, {}, slope, gain, clamp);
}

// --- CPU ---

// Runs run(layer, first row, last row), `layer` being the kernel's view of activations `x`.
template <class S, class Run>
void in_rows(const Tensor& x, const Tensor& bias, double slope, double gain,
             const MaybeDouble& clamp, const Run& run) {
  using C = typename styleclip::ComputeType<S>::type;
  const bool last = styleclip::format_of(x) == at::MemoryFormat::ChannelsLast;
  const int64_t channels = x.size(1), inner = last ? 1 : x.numel() / (x.size(0) * channels);
  const styleclip::BiasAct<S> layer{
      styleclip::pointer<C>(bias), channels, inner, static_cast<C>(slope), static_cast<C>(gain),
      styleclip::limit<S>(clamp)};
  const int64_t row = inner == 1 ? channels : inner;
  styleclip::parallel(x.numel() / row, styleclip::row_grain(row),
                      [&](int64_t begin, int64_t end) { run(layer, begin, end); });
}

Tensor bias_act_cpu(const Tensor& x, const OptionalTensor& bias, double slope, double gain,
                    MaybeDouble clamp) {
  const Tensor y = bias_act_meta(x, bias, slope, gain, clamp);
  if (y.numel() == 0) return y;
  const Tensor from = styleclip::dense(x, styleclip::format_of(x));
  const Tensor shift = styleclip::wide_side(bias, x.scalar_type());
  styleclip::with_type(x, [&]<class S>(S) {
    const auto& kernels = styleclip::bias_act_kernels<S>();
    in_rows<S>(x, shift, slope, gain, clamp, [&](const auto& layer, int64_t begin, int64_t end) {
      kernels.forward(layer, styleclip::read<S>(from), styleclip::write<S>(y), begin, end);
    });
  });
  return y;
}

Tensor bias_act_backward_cpu(const Tensor& grad, const Tensor& y, double slope, double gain,
                             MaybeDouble clamp) {
  const Tensor out = bias_act_backward_meta(grad, y, slope, gain, clamp);
  if (out.numel() == 0) return out;
  const auto format = styleclip::format_of(y);
  const Tensor from = styleclip::dense(grad.to(y.scalar_type()), format);
  const Tensor made = styleclip::dense(y, format);
  styleclip::with_type(y, [&]<class S>(S) {
    const auto& kernels = styleclip::bias_act_kernels<S>();
    in_rows<S>(y, {}, slope, gain, clamp, [&](const auto& layer, int64_t begin, int64_t end) {
      kernels.backward(layer, styleclip::read<S>(from), styleclip::read<S>(made),
                       styleclip::write<S>(out), begin, end);
    });
  });
  return out;
}

// --- Autograd ---

void save_activation(torch::autograd::AutogradContext* context, const Tensor& y, double slope,
                     double gain, const MaybeDouble& clamp) {
  context->save_for_backward({y});
  context->saved_data["slope"] = slope;
  context->saved_data["gain"] = gain;
  context->saved_data["clamp"] = clamp;
}

Tensor activation_gradient(torch::autograd::AutogradContext* context, const Tensor& grad) {
  auto& saved = context->saved_data;
  return styleclip::call<"bias_act_backward", decltype(bias_act_backward_meta)>(
      grad, context->get_saved_variables()[0], saved["slope"].toDouble(), saved["gain"].toDouble(),
      saved["clamp"].toOptional<double>());
}

struct BiasAct : torch::autograd::Function<BiasAct> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const OptionalTensor& bias, double slope, double gain, MaybeDouble clamp) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    Tensor y = styleclip::call<"bias_act", decltype(bias_act_meta)>(x, bias, slope, gain, clamp);
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
    return styleclip::call<"bias_act_backward", decltype(bias_act_backward_meta)>(grad, y, slope,
                                                                                  gain, clamp);
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

}  // namespace

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def("bias_act(Tensor x, Tensor? bias, float slope, float gain, float? clamp) -> Tensor",
              {at::Tag::pt2_compliant_tag});
  library.def(
      "bias_act_backward(Tensor grad, Tensor y, float slope, float gain, float? clamp) -> Tensor",
      {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) {
  library.impl("bias_act", bias_act_cpu);
  library.impl("bias_act_backward", bias_act_backward_cpu);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) {
  library.impl("bias_act", bias_act_meta);
  library.impl("bias_act_backward", bias_act_backward_meta);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) {
  library.impl("bias_act", bias_act_autograd);
  library.impl("bias_act_backward", bias_act_backward_autograd);
}

}  // namespace bias_act_op
