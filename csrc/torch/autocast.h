// Autocast of an op: its images take the device's autocast type, all else stays as it is.
#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <utility>

#include "torch/op.h"

namespace styleclip {

// A kernel for one of torch's Autocast keys, of an op whose first `images` arguments are images.
template <c10::DispatchKey key, at::DeviceType device, OpName name, std::size_t images,
          class Signature>
struct Autocast;

template <c10::DispatchKey key, at::DeviceType device, OpName name, std::size_t images,
          class Result, class... Arguments>
struct Autocast<key, device, name, images, Result(Arguments...)> {
  static Result call(Arguments... arguments) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(key);
    return call_with(std::index_sequence_for<Arguments...>(), arguments...);
  }

 private:
  template <std::size_t... i>
  static Result call_with(std::index_sequence<i...>, const Arguments&... arguments) {
    return styleclip::call<name, Result(Arguments...)>(narrowed<(i < images)>(arguments)...);
  }

  template <bool is_image, class Argument>
  static auto narrowed(const Argument& argument) {
    if constexpr (is_image) {
      return at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), argument, device);
    } else {
      return argument;
    }
  }
};

template <OpName name, class Signature, std::size_t images = 1>
constexpr auto autocast_cpu =
    &Autocast<c10::DispatchKey::AutocastCPU, at::kCPU, name, images, Signature>::call;
template <OpName name, class Signature, std::size_t images = 1>
constexpr auto autocast_cuda =
    &Autocast<c10::DispatchKey::AutocastCUDA, at::kCUDA, name, images, Signature>::call;

}  // namespace styleclip
