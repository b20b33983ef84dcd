// styleclip_rt::linear: schema, checks, CPU, Meta, Autograd, Autocast.
#include "kernels/cpu/linear.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "kernels/cpu/heuristics.h"
#include "torch/autocast.h"
#include "torch/checks.h"
#include "torch/op.h"
#include "torch/packed_weight.h"
#include "torch/parallel.h"

namespace linear_op {
namespace {

using at::Tensor;
using styleclip::OptionalTensor;

constexpr const char* kName = "linear";

// y = x @ weight.T + bias, or x @ weight where transposed, over the last dimension of x.
Tensor linear_meta(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                   bool transposed) {
  styleclip::check_type(x, kName);
  styleclip::check_fault(styleclip::sizes_fault(kName, "the input", x.sym_sizes()));
  TORCH_CHECK_VALUE(weight.dim() == 2, kName, " needs a weight [O, I], got ", weight.dim(),
                    " dimensions");
  TORCH_CHECK_VALUE(x.dim() > 0 && x.sym_size(-1) == weight.sym_size(transposed ? 0 : 1), kName,
                    " got an input ", x.sym_sizes(), " for a weight ", weight.sym_sizes());
  const auto outputs = weight.sym_size(transposed ? 1 : 0);
  styleclip::check_side(x, weight, "weight", weight.sym_sizes(), kName);
  styleclip::check_side(x, bias, "bias", {outputs}, kName);
  auto sizes = x.sym_sizes().vec();
  sizes.back() = outputs;
  return at::empty_symint(sizes, x.options());
}

template <class S>
void run(const Tensor& x_in, const Tensor& weight, const OptionalTensor& bias_in, bool transposed,
         const Tensor& y) {
  using C = typename styleclip::ComputeType<S>::type;
  const Tensor x = styleclip::dense(x_in);
  const Tensor packed = styleclip::packed_conv_weight<S>(weight, styleclip::PackedFor::forward);
  const Tensor bias = styleclip::wide_side(bias_in, x.scalar_type());
  const int64_t inputs = x.size(-1), outputs = y.size(-1);
  const styleclip::Linear<S> layer{x.numel() / inputs,
                                   inputs,
                                   outputs,
                                   styleclip::read<S>(x),
                                   static_cast<const char*>(packed.const_data_ptr()),
                                   transposed,
                                   styleclip::pointer<C>(bias)};
  S* to = styleclip::write<S>(y);
  const auto& kernels = styleclip::linear_kernels<S>();
  const bool parted = styleclip::worth_parting(layer.rows, inputs, outputs);
  const int64_t parts = parted ? at::get_num_threads() : 1;
  styleclip::parallel(parts, 1, [&](int64_t from, int64_t until) {
    for (int64_t part = from; part < until; ++part) kernels.forward(layer, to, part, parts);
  });
}

Tensor linear_cpu(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                  bool transposed) {
  const Tensor y = linear_meta(x, weight, bias, transposed);
  if (y.numel() == 0) return y;
  if (x.size(-1) == 0) {
    return styleclip::given(bias) ? y.copy_(bias->to(y.scalar_type()).expand_as(y)) : y.zero_();
  }
  styleclip::with_type(x, [&]<class S>(S) { run<S>(x, weight, bias, transposed, y); });
  return y;
}

Tensor call(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool transposed) {
  return styleclip::call<"linear", decltype(linear_meta)>(x, weight, bias, transposed);
}

// All dimensions but the last as one.
Tensor flat(const Tensor& x) { return x.dim() == 1 ? x.unsqueeze(0) : x.flatten(0, -2); }

// The gradient of the input is this layer again, the other way round; so are all further ones.
struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const Tensor& weight, const OptionalTensor& bias, bool transposed) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    // Only a weight's gradient reads the input.
    context->save_for_backward({weight.requires_grad() ? x : Tensor(), weight});
    context->saved_data["transposed"] = transposed;
    context->saved_data["type"] = x.scalar_type();
    context->saved_data["biased"] = styleclip::given(bias);
    if (styleclip::given(bias)) context->saved_data["bias_type"] = bias->scalar_type();
    return call(x, weight, bias, transposed);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    torch::autograd::variable_list result(4);
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const bool transposed = context->saved_data["transposed"].toBool();
    const Tensor grad = grads[0].to(context->saved_data["type"].toScalarType());
    if (context->needs_input_grad(0)) result[0] = call(grad, weight, {}, !transposed);
    if (context->needs_input_grad(1)) {
      const auto wide = weight.scalar_type();
      const Tensor rows = flat(x).to(wide), outputs = flat(grad).to(wide);
      result[1] = transposed ? rows.t().mm(outputs) : outputs.t().mm(rows);
    }
    // A bias that was not given has no edge in the graph.
    if (context->saved_data["biased"].toBool() && context->needs_input_grad(2)) {
      result[2] = flat(grad).to(context->saved_data["bias_type"].toScalarType()).sum(0);
    }
    return result;
  }
};

Tensor linear_autograd(const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                       bool transposed) {
  return LinearFunction::apply(x, weight, bias, transposed);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  library.def("linear(Tensor x, Tensor weight, Tensor? bias, bool transposed) -> Tensor",
              {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) { library.impl("linear", linear_cpu); }
TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) { library.impl("linear", linear_meta); }
TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) { library.impl("linear", linear_autograd); }

TORCH_LIBRARY_IMPL(styleclip_rt, AutocastCPU, library) {
  library.impl("linear", styleclip::autocast_cpu<"linear", decltype(linear_meta)>);
}

TORCH_LIBRARY_IMPL(styleclip_rt, AutocastCUDA, library) {
  library.impl("linear", styleclip::autocast_cuda<"linear", decltype(linear_meta)>);
}

}  // namespace linear_op
