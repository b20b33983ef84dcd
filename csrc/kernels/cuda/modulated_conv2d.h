// What surrounds the convolution of a StyleGAN2 layer, in channels-last memory.
//
// The convolution is the framework's. Before it goes x * style; after it, in one pass, the FIR
// filter (where it upsampled), demodulation, noise, bias, leaky ReLU, gain, clamp and the image
// layer. All side inputs and side gradients are float32.
#pragma once

#include "launch.h"

namespace styleclip::cuda {

// y is [batch, height, width, channels].
struct Layer {
  std::int64_t batch, channels, height, width;
  float slope, gain;  // both positive
  float clamp;        // infinity for none
  bool noise_per_image;
  Dtype dtype;
};

// y = clamp(gain * leaky_relu(factor * c + noise * noise_strength + bias)) for the convolution's
// result c. Null leaves a term out; without a strength noise counts as it is.
struct LayerTerms {
  const float* factor;          // [batch, channels]
  const float* noise;           // [1 or batch, height, width]
  const float* noise_strength;  // one number
  const float* bias;            // [channels]
};

// rgb[n, j] = sum_o weight[j, o] * style[n, o] * y[n, o].
struct ToRgb {
  const float* weight;  // [3, channels]
  const float* style;   // [batch, channels]
};

// y, and where to_rgb has a weight also rgb [batch, 3, height, width], from c of the shape of y.
const char* activate_layer(const void* c, const LayerTerms& terms, const ToRgb& to_rgb, void* y,
                           float* rgb, const Layer& layer, Stream stream);

// y from a transposed convolution of stride 2, c [batch, height + 1, width + 1, channels]: filters
// with outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16 on the way.
const char* activate_upsampled_layer(const void* c, const LayerTerms& terms, void* y,
                                     const Layer& layer, Stream stream);

// The filter alone: height and width of `layer` are those of the output, the input is one larger...
const char* filter_upsampled(const void* c, void* filtered, const Layer& layer, Stream stream);
// ... and its transpose, back to one larger.
const char* filter_upsampled_transpose(const void* grad_filtered, void* grad_c, const Layer& layer,
                                       Stream stream);

// Sums over pixels, [batch, channels] each; null where not wanted.
struct LayerSums {
  float* factor;     // gradient of the demodulation factor
  float* noise;      // of the noise strength, before the sum over batch and channels
  float* rgb_style;  // of the image layer's style
};

// Floats of workspace that the backward functions need.
std::int64_t layer_workspace(const Layer& layer);

// grad_c = d/dc, filter not included, from either or both gradients (null for none).
const char* activate_layer_backward(const void* grad_y, const float* grad_rgb, const void* y,
                                    const LayerTerms& terms, const ToRgb& to_rgb, void* grad_c,
                                    const LayerSums& sums, float* workspace, const Layer& layer,
                                    Stream stream);

// out = x * style, style [batch, channels].
const char* modulate(const void* x, const float* style, void* out, const Layer& layer,
                     Stream stream);

// The same of a float32 weight [O, k, k, I], as if its taps were the pixels of one image of I
// channels: out is in the layer's dtype.
const char* modulate_weight(const float* weight, const float* style, void* out, const Layer& layer,
                            Stream stream);

// grad_x = grad * style (null for none) and grad_style = the sum of grad * x over pixels.
const char* modulate_backward(const void* grad, const void* x, const float* style, void* grad_x,
                              float* grad_style, float* workspace, const Layer& layer,
                              Stream stream);

}  // namespace styleclip::cuda
