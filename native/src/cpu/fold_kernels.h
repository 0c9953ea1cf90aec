// Cells back to the weights that they stand for: subtracted, scaled, checked and transposed in one pass over memory.
// Nothing here depends on whether sums are contracted to fused multiply-adds.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "cells_kernels.h"
#include "memcore/cells.h"
#include "memory.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

// One line; `check` becomes NaN once anything is infinite or NaN.
template <bool Each, bool One>
MEMCORE_ALWAYS_INLINE void fold_line(const float* positive, const float* negative, const float* gain, int64_t width,
                                     float* to, Vec& check) {
  const Vec common = splat(gain[0]), reference = splat(negative[0]);
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Vec net = load(positive + i) - (One ? reference : load(negative + i));
    const Vec weight = net * (Each ? load(gain + i) : common);
    store(to + i, weight);
    check += weight * 0.0f;
  }
  for (; i < width; ++i) {
    const float net = positive[i] - negative[One ? 0 : i];
    to[i] = net * gain[Each ? i : 0];
    check += splat(to[i] * 0.0f);
  }
}

// Up to kBandLines word lines of both parts of a tile, whose columns become lines of the matrix.
struct FoldedLines {
  const float* positive;
  const float* negative;  // with a reference its column
  int64_t width;          // from line to line
  int64_t rows, cols;
  const float* gain;  // of the first column
  int64_t gain_size;  // 1 for one of all columns
  float* out;
  int64_t out_rows;  // from column to column
};

template <bool One>
void fold_lines(const FoldedLines& f, Vec& check) {
  alignas(64) float square[kBandLines * kBandCols];
  for (int64_t c = 0; c < f.cols; c += kBandCols) {
    const int64_t cols = smaller(kBandCols, f.cols - c);
    for (int64_t r = 0; r < f.rows; ++r) {
      const float* const up = f.positive + r * f.width + c;
      const float* const down = f.negative + r * f.width + (One ? 0 : c);
      float* const to = square + r * kBandCols;
      if (f.gain_size == 1)
        fold_line<false, One>(up, down, f.gain, cols, to, check);
      else
        fold_line<true, One>(up, down, f.gain + c, cols, to, check);
    }
    transpose<false>(square, kBandCols, f.rows, cols, f.out + c * f.out_rows, f.out_rows);
  }
}

inline float total_of(Vec check) {
  float sum = 0.0f;
  for (int lane = 0; lane < kLanes; ++lane) sum += check[lane];
  return sum;
}

template <bool One>
float fold_band(const FoldPairs& f, const Tile& tile, int64_t task) {
  const Tile::Band b = tile.band(task);
  const int64_t width = f.at.tile_cols + (One ? 1 : 0), rows = smaller(b.last, b.rows) - b.first;
  if (rows <= 0) return 0.0f;
  const float* const positive = f.cells + (b.tile * f.at.tile_rows + b.first) * width;
  const float* const negative = positive + (One ? f.at.tile_cols : tile.count() * tile.cells());
  float* const out = f.out + (b.group * f.at.cols + b.col) * f.out_rows + b.row + b.first;
  const float* const gain = f.gain + (f.gain_size == 1 ? 0 : b.col);
  Vec check = {};
  fold_lines<One>({positive, negative, width, rows, b.cols, gain, f.gain_size, out, f.out_rows}, check);
  return total_of(check);
}

inline void fold_pairs(const FoldPairs& f) {
  const Tile tile(f.at);
  const Memory<float> found(tile.tasks());
  parallel_for(tile.tasks(), 8, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task)
      found.data[task] = f.reference ? fold_band<true>(f, tile, task) : fold_band<false>(f, tile, task);
  });
  f.check[0] = 0.0f;
  for (int64_t task = 0; task < tile.tasks(); ++task) f.check[0] += found.data[task];
}

}  // namespace
}  // namespace memcore
