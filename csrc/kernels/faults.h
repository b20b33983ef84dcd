// What is wrong with an op's arguments, and the sizes that it makes, for torch's ops and those on
// arrays alike.
//
// Int is std::int64_t or torch's symbolic integer. Nothing here can overflow: each size is held
// against `kSizeLimit` before it is multiplied, and differences are taken of what is ordered.
#pragma once

#include <cstdint>
#include <optional>
#include <sstream>
#include <string>

namespace styleclip {

// Sizes, factors and paddings are smaller, so that a product of two and a few more fit 64 bits.
constexpr std::int64_t kSizeLimit = std::int64_t(1) << 31;

template <class Int>
bool fits(const Int& size) {
  return -kSizeLimit < size && size < kSizeLimit;
}

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream all;
  (all << ... << parts);
  return all.str();
}

// What is wrong with the sizes of a tensor, or nothing.
template <class Sizes>
std::string sizes_fault(const char* op, const char* name, const Sizes& sizes) {
  for (const auto& size : sizes) {
    if (!fits(size)) return text(op, ": ", name, " has a side of ", size, ", 2^31 or more");
  }
  return {};
}

// Activations are scaled by `slope` where they are negative, then by `gain`, then limited.
inline std::string activation_fault(const char* op, double slope, double gain,
                                    std::optional<double> clamp) {
  if (slope > 0 && gain > 0 && (!clamp || *clamp > 0)) return {};
  return text(op, " needs a positive slope, gain and clamp");
}

template <class Int>
std::string bands_fault(const Int& channels) {
  if (channels % 4 == 0) return {};
  return text("idwt2d needs four bands a channel, got ", channels, " channels");
}

// `crop` is (top, left, height, width), `size` the output's height and width.
template <class Int, class Crop, class Size>
std::string area_resample_fault(const Int& height, const Int& width, const Crop& crop,
                                const Size& size) {
  const auto inside = [](const Int& start, const Int& length, const Int& whole) {
    return start >= 0 && length > 0 && start <= whole && length <= whole - start;
  };
  if (!fits(height) || !fits(width)) {
    return text("area_resample takes sides below 2^31, got an image of ", height, "x", width);
  }
  if (!inside(crop[0], crop[2], height) || !inside(crop[1], crop[3], width)) {
    return text("area_resample needs a crop (top, left, height, width) inside the image of ",
                height, "x", width, ", got (", crop[0], ", ", crop[1], ", ", crop[2], ", ", crop[3],
                ")");
  }
  if (!(size[0] > 0 && size[1] > 0 && fits(size[0]) && fits(size[1]))) {
    return text("area_resample needs a positive output size with sides below 2^31, got ", size[0],
                "x", size[1]);
  }
  return {};
}

// The output of upfirdn2d, or what is wrong with its arguments.
template <class Int>
struct Upfirdn2dOutput {
  std::string fault;
  Int height = 0, width = 0;
};

// `padding` is (left, right, top, bottom).
template <class Int, class Padding>
Upfirdn2dOutput<Int> upfirdn2d_output(const Int& height, const Int& width, const Int& rows,
                                      const Int& columns, const Int& up, const Int& down,
                                      const Padding& padding) {
  if (!(up >= 1 && down >= 1 && fits(up) && fits(down))) {
    return {
        text("upfirdn2d needs up and down of at least 1 and below 2^31, got ", up, " and ", down)};
  }
  if (rows < 1 || columns < 1 || !fits(rows) || !fits(columns)) {
    return {text("upfirdn2d needs a kernel of at least one tap, got ", rows, "x", columns)};
  }
  for (int i = 0; i < 4; ++i) {
    if (!fits(padding[i])) {
      return {text("upfirdn2d takes paddings below 2^31 either way, got ", padding[i])};
    }
  }
  if (!fits(height) || !fits(width)) {
    return {text("upfirdn2d takes sides below 2^31, got an image of ", height, "x", width)};
  }
  const Int tall = height * up + padding[2] + padding[3] - rows;
  const Int wide = width * up + padding[0] + padding[1] - columns;
  if (tall < 0 || wide < 0) return {"upfirdn2d: the padded image is smaller than the kernel"};
  const Upfirdn2dOutput<Int> output{"", tall / down + 1, wide / down + 1};
  if (!fits(output.height) || !fits(output.width)) {
    return {text("upfirdn2d makes sides below 2^31, not ", output.height, "x", output.width)};
  }
  return output;
}

}  // namespace styleclip
