// styleclip_rt::conv2d and its gradient: schemas, checks, CPU, Meta, Autograd, Autocast.
#include "kernels/cpu/conv2d.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <array>
#include <vector>

#include "kernels/cpu/bands.h"
#include "kernels/cpu/heuristics.h"
#include "torch/autocast.h"
#include "torch/checks.h"
#include "torch/composite_gradients.h"
#include "torch/op.h"
#include "torch/packed_weight.h"
#include "torch/parallel.h"

namespace conv2d_op {
namespace {

using at::Tensor;
using styleclip::given;
using styleclip::OptionalTensor;

constexpr const char* kName = "conv2d";

// The op's arguments beside the activations, as every entry point gets them.
#define STYLECLIP_SIDES                                                           \
  const Tensor &weight, const OptionalTensor &scale, const OptionalTensor &shift, \
      const OptionalTensor &slope, const OptionalTensor &factor, const OptionalTensor &bias
#define STYLECLIP_SIDE_ARGUMENTS weight, scale, shift, slope, factor, bias

void check(const Tensor& x, const char* name, bool backward, STYLECLIP_SIDES) {
  styleclip::check_activations(x, kName);
  TORCH_CHECK_VALUE(weight.dim() == 4, kName, " needs a weight [O, I, 3, 3], got ", weight.dim(),
                    " dimensions");
  const auto inputs = weight.sym_size(1), outputs = weight.sym_size(0);
  const auto channels = backward ? outputs : inputs;
  TORCH_CHECK_VALUE(x.sym_size(1) == channels, kName, ": ", name, " has ", x.sym_size(1),
                    " channels where ", channels, " fit");
  styleclip::check_side(x, weight, "weight", {outputs, inputs, 3, 3}, kName);
  styleclip::check_side(x, scale, "scale", {inputs}, kName);
  styleclip::check_side(x, shift, "shift", {inputs}, kName);
  styleclip::check_side(x, slope, "slope", {inputs}, kName);
  styleclip::check_side(x, factor, "factor", {outputs}, kName);
  styleclip::check_side(x, bias, "bias", {outputs}, kName);
}

Tensor empty_image(const Tensor& like, const c10::SymInt& channels) {
  return at::empty_symint({like.sym_size(0), channels, like.sym_size(2), like.sym_size(3)},
                          like.options(), at::MemoryFormat::ChannelsLast);
}

// --- CPU ---

// The kernel's view of a layer, and the tensors whose memory it reads.
template <class S>
struct Prepared {
  using C = typename styleclip::ComputeType<S>::type;
  Tensor packed;
  std::array<Tensor, 5> sides;
  styleclip::Conv2d<S> layer;

  // `image`: of either side of the layer.
  Prepared(const Tensor& image, styleclip::PackedFor use, STYLECLIP_SIDES) {
    const int64_t inputs = weight.size(1), outputs = weight.size(0);
    const int64_t height = image.size(2), width = image.size(3);
    const int tile = styleclip::winograd_tile(inputs, outputs, height, width, 3, /*up=*/false);
    packed = styleclip::packed_conv_weight<S>(weight, use, tile);
    const std::array<OptionalTensor, 5> given_sides{scale, shift, slope, factor, bias};
    for (size_t i = 0; i < sides.size(); ++i) {
      sides[i] = styleclip::wide_side(given_sides[i], image.scalar_type());
    }
    layer = {inputs,
             outputs,
             height,
             width,
             tile,
             static_cast<const char*>(packed.const_data_ptr()),
             styleclip::pointer<C>(sides[0]),
             styleclip::pointer<C>(sides[1]),
             styleclip::pointer<C>(sides[2]),
             styleclip::pointer<C>(sides[3]),
             styleclip::pointer<C>(sides[4])};
  }
};

template <class Run>
void in_bands(const Tensor& image, const Run& run) {
  const styleclip::Bands bands(image.size(0), image.size(2), at::get_num_threads());
  bands.each(styleclip::parallel,
             [&](int64_t n, int64_t, int64_t begin, int64_t end) { run(n, begin, end); });
}

Tensor conv2d_cpu(const Tensor& x, STYLECLIP_SIDES) {
  check(x, "x", false, STYLECLIP_SIDE_ARGUMENTS);
  const Tensor y = empty_image(x, weight.size(0));
  if (y.numel() == 0) return y;
  const Tensor from = styleclip::channels_last(x);
  styleclip::with_type(x, [&]<class S>(S) {
    const Prepared<S> prepared(x, styleclip::PackedFor::forward, STYLECLIP_SIDE_ARGUMENTS);
    const auto& kernels = styleclip::conv2d_kernels<S>();
    in_bands(x, [&](int64_t n, int64_t begin, int64_t end) {
      kernels.forward(prepared.layer, styleclip::read<S>(from), styleclip::write<S>(y), n, begin,
                      end);
    });
  });
  return y;
}

void check_gradient(const Tensor& grad, const OptionalTensor& x, STYLECLIP_SIDES) {
  check(grad, "grad", true, STYLECLIP_SIDE_ARGUMENTS);
  TORCH_CHECK_VALUE(given(x) == given(slope), kName, "_backward reads x where there is a slope");
  if (!given(x)) return;
  TORCH_CHECK_TYPE(x->scalar_type() == grad.scalar_type(), kName, "_backward: x is ",
                   x->scalar_type(), ", grad is ", grad.scalar_type());
  styleclip::check_side(grad, x, "x",
                        {grad.sym_size(0), weight.sym_size(1), grad.sym_size(2), grad.sym_size(3)},
                        kName);
}

Tensor conv2d_backward_cpu(const Tensor& grad, const OptionalTensor& x, STYLECLIP_SIDES) {
  check_gradient(grad, x, STYLECLIP_SIDE_ARGUMENTS);
  const Tensor grad_x = empty_image(grad, weight.size(1));
  if (grad_x.numel() == 0) return grad_x;
  const Tensor from = styleclip::channels_last(grad);
  const Tensor seen = given(x) ? styleclip::channels_last(*x) : Tensor();
  styleclip::with_type(grad, [&]<class S>(S) {
    const Prepared<S> prepared(grad, styleclip::PackedFor::backward, STYLECLIP_SIDE_ARGUMENTS);
    const auto& kernels = styleclip::conv2d_kernels<S>();
    in_bands(grad, [&](int64_t n, int64_t begin, int64_t end) {
      kernels.backward(prepared.layer, styleclip::read<S>(seen), styleclip::read<S>(from),
                       styleclip::write<S>(grad_x), n, begin, end);
    });
  });
  return grad_x;
}

// --- Meta ---

Tensor conv2d_meta(const Tensor& x, STYLECLIP_SIDES) {
  check(x, "x", false, STYLECLIP_SIDE_ARGUMENTS);
  return empty_image(x, weight.sym_size(0));
}

Tensor conv2d_backward_meta(const Tensor& grad, const OptionalTensor& x, STYLECLIP_SIDES) {
  check_gradient(grad, x, STYLECLIP_SIDE_ARGUMENTS);
  return empty_image(grad, weight.sym_size(1));
}

// --- Autograd ---

// The layer in torch's own differentiable operators, for second derivatives and for the gradients
// that no kernel is written for: all but that of x.
Tensor composite(const Tensor& x, STYLECLIP_SIDES) {
  const auto type = styleclip::wide(x.scalar_type());
  const auto column = [&](const OptionalTensor& side) {
    return side->to(type).unsqueeze(-1).unsqueeze(-1);
  };
  Tensor c = x.to(type);
  if (given(scale)) c = c * column(scale);
  if (given(shift)) c = c + column(shift);
  if (given(slope)) c = at::where(c > 0, c, c * column(slope));
  if (x.sym_size(1) == 0) {  // a sum over no channels
    c = at::zeros_symint({x.sym_size(0), weight.sym_size(0), x.sym_size(2), x.sym_size(3)},
                         c.options());
  } else {
    c = at::conv2d_symint(c, weight.to(type), {}, {c10::SymInt(1), c10::SymInt(1)},
                          {c10::SymInt(1), c10::SymInt(1)});
  }
  if (given(factor)) c = c * column(factor);
  if (given(bias)) c = c + column(bias);
  return c.to(x.scalar_type());
}

struct Conv2dFunction : torch::autograd::Function<Conv2dFunction> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        STYLECLIP_SIDES) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    using styleclip::plain;
    context->save_for_backward(
        {x, weight, plain(scale), plain(shift), plain(slope), plain(factor), plain(bias)});
    return styleclip::call<"conv2d", decltype(conv2d_meta)>(x, STYLECLIP_SIDE_ARGUMENTS);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    auto saved = context->get_saved_variables();
    torch::autograd::variable_list result(saved.size());
    const auto run = [&](const auto& function) {
      using styleclip::optional;
      return function(saved[1], optional(saved[2]), optional(saved[3]), optional(saved[4]),
                      optional(saved[5]), optional(saved[6]));
    };
    const auto wanted = styleclip::wanted_gradients(*context, saved, saved.size());
    if (!at::GradMode::is_enabled() && wanted == std::vector<size_t>{0}) {
      result[0] = run([&](STYLECLIP_SIDES) {
        return styleclip::call<"conv2d_backward", decltype(conv2d_backward_meta)>(
            grads[0], given(slope) ? OptionalTensor(saved[0]) : OptionalTensor(),
            STYLECLIP_SIDE_ARGUMENTS);
      });
      return result;
    }
    const auto found = styleclip::composite_gradients(saved, wanted, grads, grads[0], [&] {
      return torch::autograd::variable_list{
          run([&](STYLECLIP_SIDES) { return composite(saved[0], STYLECLIP_SIDE_ARGUMENTS); })};
    });
    for (size_t i = 0; i < found.size(); ++i) result[wanted[i]] = found[i];
    return result;
  }
};

Tensor conv2d_autograd(const Tensor& x, STYLECLIP_SIDES) {
  return Conv2dFunction::apply(x, STYLECLIP_SIDE_ARGUMENTS);
}

}  // namespace

#define STYLECLIP_SIDES_SCHEMA \
  "Tensor weight, Tensor? scale, Tensor? shift, Tensor? slope, Tensor? factor, Tensor? bias"

TORCH_LIBRARY_FRAGMENT(styleclip_rt, library) {
  // From so many pixels on this op is faster than torch's convolution in any precision.
  library.def("conv2d_pixels() -> int", []() { return styleclip::kLargeTilePixels; });
  library.def("conv2d(Tensor x, " STYLECLIP_SIDES_SCHEMA ") -> Tensor",
              {at::Tag::pt2_compliant_tag});
  library.def("conv2d_backward(Tensor grad, Tensor? x, " STYLECLIP_SIDES_SCHEMA ") -> Tensor",
              {at::Tag::pt2_compliant_tag});
}

TORCH_LIBRARY_IMPL(styleclip_rt, CPU, library) {
  library.impl("conv2d", conv2d_cpu);
  library.impl("conv2d_backward", conv2d_backward_cpu);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Meta, library) {
  library.impl("conv2d", conv2d_meta);
  library.impl("conv2d_backward", conv2d_backward_meta);
}

TORCH_LIBRARY_IMPL(styleclip_rt, Autograd, library) { library.impl("conv2d", conv2d_autograd); }

TORCH_LIBRARY_IMPL(styleclip_rt, AutocastCPU, library) {
  library.impl("conv2d", styleclip::autocast_cpu<"conv2d", decltype(conv2d_meta)>);
}

TORCH_LIBRARY_IMPL(styleclip_rt, AutocastCUDA, library) {
  library.impl("conv2d", styleclip::autocast_cuda<"conv2d", decltype(conv2d_meta)>);
}

}  // namespace conv2d_op
