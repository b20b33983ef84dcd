// Gradients that no kernel is written for, and second derivatives, through torch's own operators.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <vector>

namespace styleclip {

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

// The gradients of the `wanted` ones among the tensors that an op saved, in that order.
// `composite()` makes the op's outputs anew of `saved`, by operators that torch can differentiate;
// `grads` are theirs, some of them undefined. What comes back has a graph where torch records one.
template <class Composite>
torch::autograd::variable_list composite_gradients(torch::autograd::variable_list& saved,
                                                   const std::vector<size_t>& wanted,
                                                   const torch::autograd::variable_list& grads,
                                                   const Composite& composite) {
  const bool again = at::GradMode::is_enabled();
  const at::AutoGradMode differentiable(true);
  torch::autograd::variable_list inputs, made, their_grads;
  for (const size_t i : wanted) {
    if (!again) saved[i] = saved[i].detach().requires_grad_();
    inputs.push_back(saved[i]);
  }
  const torch::autograd::variable_list outputs = composite();
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!grads[i].defined()) continue;
    made.push_back(outputs[i]);
    their_grads.push_back(grads[i]);
  }
  return torch::autograd::grad(made, inputs, their_grads, again, again, /*allow_unused=*/true);
}

}  // namespace styleclip
