// Cells whose conductances follow from their states, back to the weights that they stand for, in one pass over memory.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "fold_kernels.h"
#include "law_kernels.h"
#include "memcore/pulses.h"
#include "memory.h"
#include "parallel.h"

namespace memcore {
namespace {

constexpr int64_t kConducting = 16 * 1024;  // cells of a part, at most, that are conductances together

// Folds bands of word lines; belongs to one thread.
class StateFolder {
 public:
  explicit StateFolder(const FoldStates& f)
      : f_(f),
        tile_(f.at),
        width_(f.at.tile_cols + (f.reference ? 1 : 0)),
        height_(smaller(kBandLines, larger(4, kConducting / width_ / 4 * 4))),
        part_(f.reference ? 0 : height_ * width_),
        law_(f.law),
        conducts_(height_ * width_ + part_) {}

  // 0, or NaN if anything is infinite or NaN.
  float fold(int64_t task) {
    const Tile::Band b = tile_.band(task);
    const int64_t first = larger(b.first, f_.begin - b.row);
    const int64_t last = smaller(smaller(b.last, b.rows), f_.end - b.row);
    Vec check = {};
    for (int64_t line = first; line < last; line += height_) fold_some(b, line, smaller(height_, last - line), check);
    return total_of(check);
  }

 private:
  void fold_some(const Tile::Band& b, int64_t line, int64_t lines, Vec& check) {
    float* const out = f_.out + b.group * f_.out_group + b.col * f_.out_rows + b.row + line - f_.begin;
    await(out, b.cols, lines);
    const int64_t cell = (b.tile * f_.at.tile_rows + line) * width_, cells = lines * width_;
    float* const positive = conducts_.data;
    float* const negative = positive + (f_.reference ? f_.at.tile_cols : part_);
    law_.conduct(cell, cells, positive);
    if (!f_.reference) law_.conduct(tile_.count() * tile_.cells() + cell, cells, negative);
    const float* const gain = f_.gain + (f_.gain_size == 1 ? 0 : b.col);
    const FoldedLines some = {positive, negative, width_, lines, b.cols, gain, f_.gain_size, out, f_.out_rows};
    f_.reference ? fold_lines<true>(some, check) : fold_lines<false>(some, check);
  }

  // Lets memory that is written soon come into a cache: no processor sees how far its lines are apart.
  void await(float* out, int64_t cols, int64_t lines) const {
    for (int64_t col = 0; col < cols; ++col)
      for (int64_t i = 0; i < lines; i += kLine) __builtin_prefetch(out + col * f_.out_rows + i, 1, 2);
  }

  static constexpr int64_t kLine = 16;  // numbers of a line of the cache

  const FoldStates& f_;
  const Tile tile_;
  const int64_t width_, height_, part_;  // cells of a line, lines, and cells from part to part in memory
  Law law_;
  const Memory<float> conducts_;
};

inline void fold_states(const FoldStates& f) {
  const int64_t tasks = Tile(f.at).tasks();
  const Memory<float> found(tasks);
  parallel_for(tasks, 8, [&](int64_t begin, int64_t end) {
    StateFolder folder(f);
    for (int64_t task = begin; task < end; ++task) found.data[task] = folder.fold(task);
  });
  f.check[0] = 0.0f;
  for (int64_t task = 0; task < tasks; ++task) f.check[0] += found.data[task];
}

}  // namespace
}  // namespace memcore
