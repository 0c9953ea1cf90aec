// What writing a matrix into cells does to every weight and every cell, in as few passes over memory as it takes.
// The rules of kernels.h hold here too. No sum is contracted to a fused multiply-add here: results are those of
// PyTorch's operations one by one, to the bit.
#pragma once

#include <cstdint>

namespace memcore {

// Sums in double precision, in an order that depends on the count alone.
struct MatrixSums {
  const float* x;  // [count]
  int64_t count;   // >= 0
  double* out;     // [2] the sum of all values, and that of their magnitudes
};

// How two parts of a matrix [groups, rows, cols] lie on arrays: [2, groups, row tiles, col tiles, tile_rows,
// tile_cols]. The last tiles reach beyond the matrix unless the sizes divide each other.
struct Pairs {
  int64_t groups, rows, cols;    // >= 1
  int64_t tile_rows, tile_cols;  // >= 1
};

// The part of the positive weights and that of the negative ones, out = min(max(+-w, 0) / scale, limit) * span + start.
struct LayPairs {
  Pairs at;
  const float* weight;  // [groups, rows, cols] if !by_columns, else [groups, cols, rows]; finite
  bool by_columns;
  const float* scale;  // [1] if scale_size == 1, else [cols]
  int64_t scale_size;
  float limit;  // infinite for none
  float span, start;
  float fill;    // of cells beyond the matrix
  float* out;    // as Pairs says
  float* range;  // [3] the least and the largest of out; 0, or NaN if anything in out is infinite or NaN
};

// The inverse: (first part - second part) * gain.
struct FoldPairs {
  Pairs at;
  const float* cells;  // as Pairs says
  const float* gain;   // [1] if gain_size == 1, else [cols]
  int64_t gain_size;
  float* out;    // [groups, cols, rows]
  float* check;  // [1] 0, or NaN if anything in out is infinite or NaN
};

namespace cpu {

void matrix_sums(const MatrixSums& args);
void lay_pairs(const LayPairs& args);
void fold_pairs(const FoldPairs& args);

}  // namespace cpu

}  // namespace memcore
