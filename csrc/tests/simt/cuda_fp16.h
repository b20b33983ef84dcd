// Stands in for CUDA's header of this name: float16 as storage, rounded to nearest even.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

struct __half {
  std::uint16_t bits;
};

inline float __half2float(__half value) {
  const std::uint32_t sign = value.bits >> 15, exponent = value.bits >> 10 & 31,
                      fraction = value.bits & 1023;
  float magnitude;
  if (exponent == 31) {
    magnitude =
        fraction ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(fraction + 1024), static_cast<int>(exponent) - 25);
  }
  return sign ? -magnitude : magnitude;
}

inline __half __float2half_rn(float value) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return {static_cast<std::uint16_t>(sign | 0x7E00)};
  const float magnitude = std::fabs(value);
  if (magnitude >= 65520.0f) return {static_cast<std::uint16_t>(sign | 0x7C00)};
  if (magnitude == 0.0f) return {sign};
  int exponent;
  std::frexp(magnitude, &exponent);
  // The spacing of float16 around the value; nearbyint rounds ties to even.
  const int shift = std::max(exponent - 11, -24);
  const auto steps = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, -shift)));
  // 2048 steps mean that rounding reached the next power of two; the sum carries by itself.
  const auto base = static_cast<std::uint32_t>(shift + 24) << 10;
  return {static_cast<std::uint16_t>(sign | (base + steps))};
}
