// Reads of crossbars whose inputs lie under a window that moves over images, with the noise of the cells.
// The rules of kernels.h hold.
#pragma once

#include <cstdint>

namespace memcore {

// A window and the images that it moves over, in three dimensions; of those that images do not have, all are 1.
struct Window {
  int64_t space[3];     // of an image
  int64_t before[3];    // zeros that are put before the image
  int64_t padded[3];    // of an image with the zeros around it
  int64_t kernel[3];    // inputs of the window
  int64_t stride[3];    // from one window to the next one
  int64_t dilation[3];  // from one input of a window to the next one
  int64_t positions[3];
};

// Read i of image b and position p takes the inputs z[k] = dac(x) under the window, k = (channel, kernel), zeros too:
//   current[t, j] = unit[g, j] * sum_{k in tile t} z[k] * W[g, k, j] + sqrt(sum_{k in tile t} z[k]^2 * V[g, k, j]) *
//   draw[t, j] out = scale[g, j] * sum_t adc(current[t, j]) + bias[g, j]
// with dac, adc, tiles, panels and the promises of CrossbarMvm. The columns are `values` sets of as many; draw[t, j] is
// the normal number of element (g * tiles + t) * cols / values + j % (cols / values) of reads[i] under the key
// key + j / (cols / values).
struct CrossbarRead {
  Window window;
  const float* x;         // [images, groups, channels, space]
  const float* panels;    // [groups, ceil(cols / kPanel), rows, kPanel] of W; rows = channels * kernel
  const float* variance;  // the same of V, not negative; nullptr for reads without noise, or if there is `narrow`
  // nullptr, or V as pairs of bfloat16, of rows 2 k and 2 k + 1 of a tile: [groups, ceil(cols / kPanel), tiles,
  // ceil(tile_rows / 2), kPanel, 2]. Squares z^2 are rounded to bfloat16 then, products and sums are floats: a sum of
  // squares is wrong by 2^-7 of itself at most, its root by 2^-8. Only where multiplies_narrow().
  const uint32_t* narrow;
  const int64_t* reads;  // [images * positions] or nullptr: then first_read, first_read + read_step and so on
  const float* dac;      // [3]
  const float* scale;    // [1] if scale_size == 1, else [groups * cols]
  const float* bias;     // [groups * cols] or nullptr
  const float* unit;     // [groups * cols] or nullptr: then 1
  uint64_t key;
  int64_t first_read, read_step;
  int64_t scale_size, images, groups, channels, cols, values, tile_rows;  // images >= 0, the others >= 1
  bool channels_first;  // out is [images, groups, cols, positions], else [images, positions, groups, cols]
  float lo, hi;         // ADC codes; hi < lo: no ADC
  float* out;
};

namespace cpu {

void crossbar_read(const CrossbarRead& args);
bool multiplies_narrow();  // whether this machine multiplies bfloat16

}  // namespace cpu

namespace cuda {

// Of inputs without windows, with noise by `variance` and with `reads`: `channels` are rows, and `window`, `narrow`,
// `first_read`, `read_step` and `channels_first` are not used. Currents differ from those of the CPU by rounding.
void crossbar_read(const CrossbarRead& args, int device, void* stream);

}  // namespace cuda

}  // namespace memcore
