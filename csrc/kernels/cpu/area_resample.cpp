#include "area_resample.h"

#include <algorithm>
#include <utility>

#include "dispatch.h"

namespace styleclip {

Band area_band(std::int64_t inputs, std::int64_t start, std::int64_t length, std::int64_t outputs) {
  Band band;
  band.inputs = inputs;
  band.first.reserve(outputs);
  band.offset.reserve(outputs + 1);
  band.offset.push_back(0);
  // In units of 1/outputs of a pixel every border is an integer, so the coverage is exact: input
  // i spans [i * outputs, (i + 1) * outputs), output o spans [o * length, (o + 1) * length).
  for (std::int64_t o = 0; o < outputs; ++o) {
    const std::int64_t begin = o * length;
    const std::int64_t end = begin + length;
    const std::int64_t first = begin / outputs;
    const std::int64_t last = (end + outputs - 1) / outputs;
    band.first.push_back(start + first);
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t covered = std::min((i + 1) * outputs, end) - std::max(i * outputs, begin);
      band.weights.push_back(static_cast<float>(static_cast<double>(covered) / length));
    }
    band.offset.push_back(static_cast<std::int64_t>(band.weights.size()));
  }
  return band;
}

Band transpose(const Band& band) {
  // An area band's rows are runs that only move to the right, so the transpose has runs as well.
  std::vector<std::int64_t> first(band.inputs, 0);
  std::vector<std::vector<float>> runs(band.inputs);
  for (std::int64_t o = 0; o < band.outputs(); ++o) {
    for (std::int64_t k = band.offset[o]; k < band.offset[o + 1]; ++k) {
      const std::int64_t i = band.first[o] + k - band.offset[o];
      if (runs[i].empty()) first[i] = o;
      runs[i].push_back(band.weights[k]);
    }
  }
  Band out;
  out.inputs = band.outputs();
  out.first = std::move(first);
  out.offset.reserve(band.inputs + 1);
  out.offset.push_back(0);
  for (const auto& run : runs) {
    out.weights.insert(out.weights.end(), run.begin(), run.end());
    out.offset.push_back(static_cast<std::int64_t>(out.weights.size()));
  }
  return out;
}

Affine normalisation(std::int64_t channels, std::span<const double> mean,
                     std::span<const double> std) {
  Affine affine{std::vector<float>(channels, 1.0f), std::vector<float>(channels, 0.0f)};
  for (std::int64_t c = 0; c < channels; ++c) {
    const double deviation = std.empty() ? 1.0 : std[c];
    affine.scale[c] = static_cast<float>(1.0 / deviation);
    if (!mean.empty()) affine.shift[c] = static_cast<float>(-mean[c] / deviation);
  }
  return affine;
}

STYLECLIP_SIMD
void combine_rows(const float* in, const Band& band, std::int64_t width, std::int64_t column_begin,
                  std::int64_t column_end, float* out, std::int64_t row_begin,
                  std::int64_t row_end) {
  const std::int64_t outputs = band.outputs();
  for (std::int64_t row = row_begin; row < row_end; ++row) {
    const std::int64_t o = row % outputs;
    const float* __restrict source = in + ((row / outputs) * band.inputs + band.first[o]) * width;
    float* __restrict target = out + row * width;
    std::fill(target + column_begin, target + column_end, 0.0f);
    for (std::int64_t k = band.offset[o]; k < band.offset[o + 1]; ++k, source += width) {
      const float weight = band.weights[k];
      for (std::int64_t x = column_begin; x < column_end; ++x) target[x] += weight * source[x];
    }
  }
}

STYLECLIP_SIMD
void combine_columns(const float* in, const Band& band, std::int64_t height, std::int64_t channels,
                     const float* scale, const float* shift, float* out, std::int64_t row_begin,
                     std::int64_t row_end) {
  const std::int64_t outputs = band.outputs();
  const std::int64_t* first = band.first.data();
  const std::int64_t* offset = band.offset.data();
  const float* weights = band.weights.data();
  for (std::int64_t row = row_begin; row < row_end; ++row) {
    const std::int64_t channel = (row / height) % channels;
    const float* source = in + row * band.inputs;
    float* target = out + row * outputs;
    for (std::int64_t o = 0; o < outputs; ++o) {
      const std::int64_t taps = offset[o + 1] - offset[o];
      float sum = 0.0f;
      for (std::int64_t k = 0; k < taps; ++k) sum += weights[offset[o] + k] * source[first[o] + k];
      target[o] = shift[channel] + scale[channel] * sum;
    }
  }
}

}  // namespace styleclip
