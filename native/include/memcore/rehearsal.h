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

// Weights w [groups, outputs, inputs] and the pairs of cells that stand for them. The cell of its sign carries |w|, and
// `scale` is mapped to start + span:
//   target = min(start + min(|w| * (span / scale[o]), most), highest), and start for the other one;
// then come the steps, and
//   folded = sign(w) * (scale[o] / span) * (g - g'),  variance = (relative g)^2 + (relative g')^2 + 2 constant.
// Where the last step is kNearest, g - g' is a whole number of widths a / b: the level of the pair, of the sign of w.
struct RehearsedCells {
  const float* weight;
  int64_t groups, outputs, inputs;  // each >= 1
  const float* scale;               // [1] or [outputs]
  int64_t scale_size;
  float start, span, most, highest;
  const CellStep* step;  // [steps]
  int64_t steps;
  float relative, constant;  // of the variance
  bool noisy;                // whether there is any
};

// Levels lo, lo + 1, ..., hi times a step.
struct CodeRange {
  const float* step;  // [1]; nullptr: values stay what they are
  float lo, hi;
};

// Read i of rows z[i, g, k] = clamp(round(x[i, g, k] / dac.step), dac.lo, dac.hi), or x without a DAC:
//   current[t, o] = sum_{k in tile t} z[k] * folded[g, o, k] * factor[o]
//                   + sqrt(sum_{k in tile t} z[k]^2 * variance[g, o, k] * square[o]) * draw[t, o]
// where pairs have levels, the first sum is (gain[o] * width * factor[o]) * sum_k z[k] * level[g, o, k], which is exact
// as long as it is below 2^24;
//   out[i, g, o] = step[o] * sum_t clamp(round(current[t, o]), adc.lo, adc.hi) + bias[g, o]
// with the promises of CrossbarRead and the draws that it has for read first_read + i * read_step, and for
// gain[o] = scale[o] / span
//   step = adc.step * (gain / volts), factor = dac.step / step, square = (gain * factor)^2;
// a step that is not there counts 1, and without an ADC nothing is rounded. The cells are written at the same time, or
// known already.
struct RehearsedRead {
  RehearsedCells cells;   // weight == nullptr: they are known
  const float* pairs;     // [groups, outputs, inputs] if they are known: levels, or what pairs stand for
  const float* variance;  // the same
  float width, levels;    // of known pairs: conductance of a level, and the largest of them; 0 for pairs without levels
  int8_t* levels_out;     // levels of pairs, if they have any up to 127, or nullptr; written if the cells are
  float* pairs_out;       // as `pairs`, or nullptr; the same
  float* variance_out;    // the same
  const float* x;         // [n, groups, inputs]
  CodeRange dac, adc;
  float volts;        // for an input of 1
  const float* bias;  // [groups, outputs] or nullptr
  int64_t first_read, read_step;
  uint64_t key;
  int64_t n, tile_rows;  // n >= 0: with 0 the cells are written only
  bool narrow;           // z^2 and variance * square are rounded to bfloat16, as CrossbarRead::narrow says
  float* out;            // [n, groups, outputs]
};

namespace cpu {

// Whether what all cells stand for is finite; known ones are not looked at.
bool rehearsed_read(const RehearsedRead& args);

}  // namespace cpu

}  // namespace memcore
