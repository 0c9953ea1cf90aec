// Cells that a training writes in the order of the weights, and reads of them. The rules of kernels.h hold.
#pragma once

#include <cstdint>

namespace memcore {

// What happens to the conductances of cells, one thing after another, each with a normal draw z of its own: that of
// element (g * outputs + o) * inputs + k of read 0. One outside [low, high] is replaced by that of the same element of
// read 1, 2 and so on.
struct CellStep {
  enum Kind : int64_t {
    kLogFactor,       // g *= clamp(exp(a z) * b, least, most)
    kFactor,          // g *= clamp(a z + b, least, most)
    kOffset,          // g = clamp(g + a z + b, least, most)
    kNearest,         // g = the nearest of the levels low + k a / b, k = 0 .. b
    kNearestInverse,  // the same of 1 / g
  };
  int64_t kind;
  float a, b, low, high, least, most;
  uint64_t key[2];  // of the cell that carries a weight, and of the other one of its pair
};

// Weights w [groups, outputs, inputs] and the pairs of cells that stand for them. The cell of its sign carries |w|:
//   target = min(lowest + min(|w| * slope[o], span), highest), and lowest for the other one;
// then come the steps, and
//   folded = sign(w) * gain[o] * (g - g'),  variance = (relative g)^2 + (relative g')^2 + 2 constant.
struct RehearsedCells {
  const float* weight;
  int64_t groups, outputs, inputs;  // each >= 1
  const float* slope;               // [1] or [outputs]
  const float* gain;                // [1] or [outputs]
  int64_t slope_size, gain_size;
  float lowest, span, highest;
  const CellStep* step;  // [steps]
  int64_t steps;
  float relative, constant;  // of the variance
  bool noisy;                // whether there is any
};

// Read i of rows z[i, g, k] = dac(x[i, g, k]):
//   current[t, o] = sum_{k in tile t} z[k] * folded[g, o, k] * factor[o]
//                   + sqrt(sum_{k in tile t} z[k]^2 * variance[g, o, k] * square[o]) * draw[t, o]
//   out[i, g, o] = scale[o] * sum_t adc(current[t, o])
// with dac, adc, draws and the promises of CrossbarRead. The cells are written at the same time, or known already.
struct RehearsedRead {
  RehearsedCells cells;   // weight == nullptr: they are known
  const float* folded;    // [groups, outputs, inputs] if they are known
  const float* variance;  // the same
  float* folded_out;      // the same, or nullptr; written if the cells are
  float* variance_out;    // the same
  const float* x;         // [n, groups, inputs]
  const float* dac;       // [3]
  const float* factor;    // [1] or [outputs]
  const float* square;    // [1] or [outputs]
  const float* scale;     // [1] or [outputs]
  int64_t factor_size, square_size, scale_size;
  const int64_t* reads;  // [n] if there is noise
  uint64_t key;
  int64_t n, tile_rows;  // n >= 0: with 0 the cells are written only
  bool narrow;           // z^2 and variance * square are rounded to bfloat16, as CrossbarRead::narrow says
  float lo, hi;
  float* out;  // [n, groups, outputs]
};

namespace cpu {

// Whether what all cells stand for is finite; known ones are not looked at.
bool rehearsed_read(const RehearsedRead& args);

}  // namespace cpu

}  // namespace memcore
