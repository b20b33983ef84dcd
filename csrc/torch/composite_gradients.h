// Gradients that no kernel is written for, and second derivatives, through torch's own operators.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace styleclip {

// A positive number as float32 holds it; torch's operators take no other with such tensors.
inline double in_float(double number) {
  return std::min<double>(number, std::numeric_limits<float>::max());
}

// Which of the arguments that an op saved, in their order, a gradient is wanted of. Those that were
// not given have no edge in the graph.
inline std::vector<size_t> wanted_gradients(const torch::autograd::AutogradContext& context,
                                            const torch::autograd::variable_list& saved,
                                            size_t arguments) {
  std::vector<size_t> wanted;
  size_t edge = 0;
  for (size_t i = 0; i < arguments; ++i) {
    if (saved[i].defined() && context.needs_input_grad(edge++)) wanted.push_back(i);
  }
  return wanted;
}

inline bool contains(const std::vector<size_t>& places, size_t place) {
  return std::find(places.begin(), places.end(), place) != places.end();
}

// The gradients of the `wanted` ones of an op's arguments where it made nothing.
inline torch::autograd::variable_list gradients_of_nothing(
    const torch::autograd::variable_list& saved, const std::vector<size_t>& wanted) {
  torch::autograd::variable_list zeros;
  for (const size_t i : wanted) zeros.push_back(at::zeros_like(saved[i]));
  return zeros;
}

// The gradients of the `wanted` ones among the tensors that an op saved, in that order.
// `y` is what the op made. `composite()` makes its outputs anew of `saved`, by operators that torch
// can differentiate, if they are not empty, which torch's convolutions do not take;
// `grads` are theirs, some of them undefined. What comes back has a graph where torch records one.
template <class Composite>
torch::autograd::variable_list composite_gradients(torch::autograd::variable_list& saved,
                                                   const std::vector<size_t>& wanted,
                                                   const torch::autograd::variable_list& grads,
                                                   const at::Tensor& y,
                                                   const Composite& composite) {
  if (y.sym_numel() == 0) return gradients_of_nothing(saved, wanted);
  const bool again = at::GradMode::is_enabled();
  const at::AutoGradMode differentiable(true);
  torch::autograd::variable_list inputs, made, their_grads;
  for (const size_t i : wanted) {
    if (!again) saved[i] = saved[i].detach().requires_grad_();
    inputs.push_back(saved[i]);
  }
  const torch::autograd::variable_list outputs = composite();
  for (size_t i = 0; i < outputs.size(); ++i) {
    // Not all outputs are made of what a gradient is wanted of.
    if (!grads[i].defined() || !outputs[i].requires_grad()) continue;
    made.push_back(outputs[i]);
    their_grads.push_back(grads[i]);
  }
  if (made.empty()) return gradients_of_nothing(saved, wanted);
  torch::autograd::variable_list found =
      torch::autograd::grad(made, inputs, their_grads, again, again, /*allow_unused=*/true);
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i].defined()) found[i] = at::zeros_like(inputs[i]);
  }
  return found;
}

}  // namespace styleclip
