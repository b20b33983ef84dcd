// Compiled once for each instruction set; see isa.h. Loops that the compiler vectorises.
#include "area_resample.h"

#include "simd.h"

namespace styleclip {
namespace STYLECLIP_ISA {
namespace {

template <class S>
void combine_rows(const S* in, const BandView& band, std::int64_t width, std::int64_t column_begin,
                  std::int64_t column_end, S* out, std::int64_t row_begin, std::int64_t row_end) {
  for (std::int64_t row = row_begin; row < row_end; ++row) {
    const std::int64_t o = row % band.outputs;
    const S* __restrict source = in + ((row / band.outputs) * band.inputs + band.first[o]) * width;
    S* __restrict target = out + row * width;
    for (std::int64_t x = column_begin; x < column_end; ++x) target[x] = 0;
    for (std::int64_t k = band.offset[o]; k < band.offset[o + 1]; ++k, source += width) {
      const S weight = band.weights[k];
      for (std::int64_t x = column_begin; x < column_end; ++x) target[x] += weight * source[x];
    }
  }
}

template <class S>
void combine_columns(const S* in, const BandView& band, std::int64_t height, std::int64_t channels,
                     const S* scale, const S* shift, S* out, std::int64_t row_begin,
                     std::int64_t row_end) {
  for (std::int64_t row = row_begin; row < row_end; ++row) {
    const std::int64_t channel = (row / height) % channels;
    const S* source = in + row * band.inputs;
    S* target = out + row * band.outputs;
    for (std::int64_t o = 0; o < band.outputs; ++o) {
      const S* weights = band.weights + band.offset[o];
      const S* from = source + band.first[o];
      const std::int64_t taps = band.offset[o + 1] - band.offset[o];
      S sum = 0;
      for (std::int64_t k = 0; k < taps; ++k) sum += weights[k] * from[k];
      target[o] = shift[channel] + scale[channel] * sum;
    }
  }
}

}  // namespace

template <class S>
const AreaResampleKernels<S>& area_resample_kernels() {
  static constexpr AreaResampleKernels<S> table{combine_rows<S>, combine_columns<S>};
  return table;
}
template const AreaResampleKernels<float>& area_resample_kernels<float>();

}  // namespace STYLECLIP_ISA
}  // namespace styleclip
