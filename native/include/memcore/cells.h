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

// The inverse: (first part - second part) * gain. With a reference, the second part is one more column of each array of
// the first one, that all its columns have in common.
struct FoldPairs {
  Pairs at;
  bool reference;
  const float* cells;  // as Pairs says, or [groups, row tiles, col tiles, tile_rows, tile_cols + 1]
  const float* gain;   // [1] if gain_size == 1, else [cols]
  int64_t gain_size;
  float* out;        // [groups, cols, rows]
  int64_t out_rows;  // from column to column of out: >= rows, more only of a single group
  float* check;      // [1] 0, or NaN if anything in out is infinite or NaN
};

// What becomes of conductances g of cells.
struct CellForm {
  enum Kind : int64_t {
    kAffine,         // g * a + b
    kLevels,         // the nearest of the levels a + b k / last, k = 0 .. last; a where b is 0
    kInverseLevels,  // the same of 1 / g
    kHeld,           // a, but g where a is NaN
    kAtLeast,        // g, but a where that is more
  };
  int64_t kind;
  const float* a;  // [1] or [count]
  const float* b;  // likewise; nullptr if it is not used
  int64_t a_size, b_size;
  float last;
};

// One form after another, each cell for itself.
struct CellForms {
  const float* g;        // [count]
  int64_t count;         // >= 0
  const CellForm* form;  // [forms]
  int64_t forms;         // >= 1
  float* out;            // [count]
  float* check;          // [forms] 0, or NaN if anything is infinite or NaN after a form
};

// Which cells are held, and where, of the uniform number of each: at the level of the first share whose bound is above
// it, else nowhere, NaN.
struct CellShares {
  float* x;  // [count] the numbers, which the conductances take the place of
  int64_t count;
  int64_t shares;
  const float* bound;         // [shares], not descending
  const float* const* level;  // [shares], each [1] or [count]
  const int64_t* size;        // [shares]
};

// How far values lie from others: the sum of squared differences, and the largest magnitude of one. Differences are
// floats; they are squared and added in double precision, in an order that depends on the count alone.
struct CellErrors {
  const float* x;  // [count]
  const float* y;  // [count]
  int64_t count;   // >= 0
  double* out;     // [2]
};

namespace cpu {

void matrix_sums(const MatrixSums& args);
float largest_magnitude(const float* x, int64_t count);  // 0 of none, NaN if any is
void lay_pairs(const LayPairs& args);
void fold_pairs(const FoldPairs& args);
void cell_forms(const CellForms& args);
void cell_shares(const CellShares& args);
void cell_errors(const CellErrors& args);

}  // namespace cpu

}  // namespace memcore
