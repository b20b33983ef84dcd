#include "band_matrix.h"

#include <algorithm>
#include <numeric>

namespace styleclip {

BandMatrix area_matrix(std::int64_t inputs, std::int64_t start, std::int64_t length,
                       std::int64_t outputs) {
  BandMatrix matrix;
  matrix.inputs = inputs;
  matrix.first.reserve(outputs);
  matrix.offset.reserve(outputs + 1);
  matrix.offset.push_back(0);
  // In units of 1/outputs of a pixel every border is an integer, so the coverage is exact: input
  // i spans [i * outputs, (i + 1) * outputs), output o spans [o * length, (o + 1) * length).
  for (std::int64_t o = 0; o < outputs; ++o) {
    const std::int64_t begin = o * length;
    const std::int64_t end = begin + length;
    const std::int64_t first = begin / outputs;
    const std::int64_t last = (end + outputs - 1) / outputs;
    matrix.first.push_back(start + first);
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t covered = std::min((i + 1) * outputs, end) - std::max(i * outputs, begin);
      matrix.weights.push_back(static_cast<float>(static_cast<double>(covered) / length));
    }
    matrix.offset.push_back(static_cast<std::int64_t>(matrix.weights.size()));
  }
  return matrix;
}

BandMatrix transpose(const BandMatrix& matrix) {
  BandMatrix out;
  out.inputs = matrix.outputs();
  out.first.resize(matrix.inputs);
  out.offset.resize(matrix.inputs + 1);
  out.weights.resize(matrix.weights.size());
  const auto each = [&](const auto& visit) {
    for (std::int64_t o = 0; o < matrix.outputs(); ++o) {
      for (std::int64_t k = matrix.offset[o]; k < matrix.offset[o + 1]; ++k) {
        visit(o, matrix.first[o] + k - matrix.offset[o], matrix.weights[k]);
      }
    }
  };
  each([&](std::int64_t o, std::int64_t i, float) {
    if (out.offset[i + 1]++ == 0) out.first[i] = o;
  });
  std::partial_sum(out.offset.begin(), out.offset.end(), out.offset.begin());
  // A run's columns come in order, so a weight's place follows from its column.
  each([&](std::int64_t o, std::int64_t i, float weight) {
    out.weights[out.offset[i] + o - out.first[i]] = weight;
  });
  return out;
}

}  // namespace styleclip
