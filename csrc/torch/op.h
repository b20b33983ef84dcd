// Calls of this library's ops through torch's dispatcher, by their names.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <cstddef>
#include <string>
#include <utility>

namespace styleclip {

// An op's name within `styleclip_rt`, as a template argument.
template <std::size_t length>
struct OpName {
  constexpr OpName(const char (&name)[length]) {
    for (std::size_t i = 0; i < length; ++i) text[i] = name[i];
  }
  char text[length];
};

// The op with this schema, looked up once. Signature is that of its Meta kernel, which has torch's
// symbolic integers.
template <OpName name, class Signature>
const auto& op() {
  static const auto handle =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow((std::string("styleclip_rt::") + name.text).c_str(), "")
          .template typed<Signature>();
  return handle;
}

template <OpName name, class Signature, class... Arguments>
decltype(auto) call(Arguments&&... arguments) {
  return op<name, Signature>().call(std::forward<Arguments>(arguments)...);
}

}  // namespace styleclip
