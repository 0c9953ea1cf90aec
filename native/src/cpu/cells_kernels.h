// Sums of a matrix, and weights onto cells: transposed, laid onto arrays and checked in one pass over memory.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/cells.h"
#include "memcore/philox.h"
#include "memory.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kSummed = 32 * 1024;  // values of one partial sum
// What is transposed in the first-level cache: so many word lines, and bit lines, of an array.
constexpr int64_t kBandLines = 32, kBandCols = 64;

// Eight lanes whatever the instruction set, so that the order of summation is one.
typedef float Eight __attribute__((vector_size(32)));
typedef float UnalignedEight __attribute__((vector_size(32), aligned(4), may_alias));
typedef double WideEight __attribute__((vector_size(64)));
typedef int64_t BitsEight __attribute__((vector_size(64)));

// Half a vector of numbers, in double precision a whole one.
constexpr int kWide = kLanes / 2;
typedef float HalfVec __attribute__((vector_size(kWide * 4)));
typedef float UnalignedHalf __attribute__((vector_size(kWide * 4), aligned(4), may_alias));
typedef double WideVec __attribute__((vector_size(kWide * 8)));
typedef int64_t WideBits __attribute__((vector_size(kWide * 8)));

// Sixteen sums whatever the instruction set, so that the order of summation is one.
constexpr int kSums = 16, kSumVecs = kSums / kWide;

MEMCORE_ALWAYS_INLINE void add_wide(const float* p, WideVec& sum, WideVec& size) {
  const WideVec v = __builtin_convertvector(HalfVec(*reinterpret_cast<const UnalignedHalf*>(p)), WideVec);
  sum += v;
  size += (WideVec)((WideBits)v & INT64_MAX);
}

// The first eight sums to the others, then one after another.
inline double joined(const WideVec* sums) {
  double sum = 0;
  for (int i = 0; i < kSums / 2; ++i) {
    const int j = i + kSums / 2;
    sum += sums[i / kWide][i % kWide] + sums[j / kWide][j % kWide];
  }
  return sum;
}

inline void sum_piece(const float* x, int64_t count, double* out) {
  WideVec sum[kSumVecs] = {}, size[kSumVecs] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums)
    for (int k = 0; k < kSumVecs; ++k) add_wide(x + i + kWide * k, sum[k], size[k]);
  out[0] = joined(sum), out[1] = joined(size);
  for (; i < count; ++i) {
    out[0] += x[i];
    out[1] += __builtin_fabs(static_cast<double>(x[i]));
  }
}

inline void matrix_sums(const MatrixSums& m) {
  const int64_t pieces = ceil_div(m.count, kSummed);
  m.out[0] = m.out[1] = 0;
  if (pieces == 0) return;
  const Memory<double> partial(2 * pieces);
  parallel_for(pieces, 4, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece)
      sum_piece(m.x + piece * kSummed, smaller(kSummed, m.count - piece * kSummed), partial.data + 2 * piece);
  });
  for (int64_t piece = 0; piece < pieces; ++piece) {
    m.out[0] += partial.data[2 * piece];
    m.out[1] += partial.data[2 * piece + 1];
  }
}

// The bits of the largest magnitude; those of a NaN are larger than any.
inline int32_t largest_bits(const float* x, int64_t count) {
  IntVec most[kSumVecs] = {};
  int64_t i = 0;
  for (; i + kSumVecs * kLanes <= count; i += kSumVecs * kLanes)
    for (int k = 0; k < kSumVecs; ++k) {
      const IntVec bits = (IntVec)load(x + i + k * kLanes) & INT32_MAX;
      most[k] = bits > most[k] ? bits : most[k];
    }
  int32_t largest = 0;
  for (const IntVec& each : most)
    for (int lane = 0; lane < kLanes; ++lane) largest = each[lane] > largest ? each[lane] : largest;
  for (; i < count; ++i) {
    const int32_t bits = float_to_bits(x[i]) & INT32_MAX;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

inline float largest_magnitude(const float* x, int64_t count) {
  const int64_t pieces = ceil_div(count, kSummed);
  const Memory<int32_t> partial(larger(pieces, 1));
  parallel_for(pieces, 4, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece)
      partial.data[piece] = largest_bits(x + piece * kSummed, smaller(kSummed, count - piece * kSummed));
  });
  int32_t largest = 0;
  for (int64_t piece = 0; piece < pieces; ++piece)
    largest = partial.data[piece] > largest ? partial.data[piece] : largest;
  return bits_to_float(largest);
}

// to[j][i] = from[i][j] for i < rows, j < cols, with distances between lines. The lines of the matrix in memory, whose
// distance may be a power of two, are gone through one after another: of `from` if ByLine, else of `to`.
template <bool ByLine>
MEMCORE_ALWAYS_INLINE void transpose(const float* from, int64_t from_line, int64_t rows, int64_t cols, float* to,
                                     int64_t to_line) {
  int64_t even_rows = 0, even_cols = 0;
#if defined(MEMCORE_X86)
  even_rows = rows / 4 * 4;
  even_cols = cols / 4 * 4;
  const int64_t outer = ByLine ? even_rows : even_cols, inner = ByLine ? even_cols : even_rows;
  for (int64_t o = 0; o < outer; o += 4)
    for (int64_t n = 0; n < inner; n += 4) {
      const int64_t i = ByLine ? o : n, j = ByLine ? n : o;
      const float* const source = from + i * from_line + j;
      float* const target = to + j * to_line + i;
      __m128 a = _mm_loadu_ps(source), b = _mm_loadu_ps(source + from_line), c = _mm_loadu_ps(source + 2 * from_line),
             d = _mm_loadu_ps(source + 3 * from_line);
      _MM_TRANSPOSE4_PS(a, b, c, d);
      _mm_storeu_ps(target, a);
      _mm_storeu_ps(target + to_line, b);
      _mm_storeu_ps(target + 2 * to_line, c);
      _mm_storeu_ps(target + 3 * to_line, d);
    }
#endif
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i < even_rows ? even_cols : 0; j < cols; ++j) to[j * to_line + i] = from[i * from_line + j];
}

// The tiles of a matrix, and the squares of a tile that are worked on together.
struct Tile {
  Pairs at;
  int64_t row_tiles, col_tiles;

  explicit Tile(const Pairs& pairs)
      : at(pairs), row_tiles(ceil_div(pairs.rows, pairs.tile_rows)), col_tiles(ceil_div(pairs.cols, pairs.tile_cols)) {}
  int64_t count() const { return at.groups * row_tiles * col_tiles; }
  int64_t cells() const { return at.tile_rows * at.tile_cols; }
  // A task is up to kBandLines word lines of one tile.
  int64_t bands() const { return ceil_div(at.tile_rows, kBandLines); }
  int64_t tasks() const { return count() * bands(); }

  struct Band {
    int64_t tile, group, row, col;  // the first row and column of the tile in the matrix
    int64_t first, last;            // word lines of the tile
    int64_t rows, cols;             // of the tile that lie in the matrix
  };
  Band band(int64_t task) const {
    const int64_t tile = task / bands(), first = task % bands() * kBandLines;
    const int64_t col = tile % col_tiles, row = tile / col_tiles % row_tiles;
    return {tile,
            tile / (col_tiles * row_tiles),
            row * at.tile_rows,
            col * at.tile_cols,
            first,
            smaller(at.tile_rows, first + kBandLines),
            smaller(at.tile_rows, at.rows - row * at.tile_rows),
            smaller(at.tile_cols, at.cols - col * at.tile_cols)};
  }
};

// What was seen of the results: for each lane the extremes, and 0, or NaN once anything was infinite or NaN.
struct Seen {
  Vec least, most, check;
};

MEMCORE_ALWAYS_INLINE void see(Seen& seen, Vec value) {
  seen.least = value < seen.least ? value : seen.least;
  seen.most = value > seen.most ? value : seen.most;
  seen.check += value - value;
}

// What a part makes of the magnitudes of weights: of all others it makes `start`, as 0 / scale * span + start is.
MEMCORE_ALWAYS_INLINE Vec part_of(const LayPairs& l, Vec weight, Vec scale) {
  const Vec size = weight < 0.0f ? -weight : weight;
  const Vec position = size / scale;
  const Vec bounded = position > l.limit ? splat(l.limit) : position;
  const Vec scaled = bounded * l.span;
  return scaled + l.start;
}

// One line of both parts: `width` weights at `from` whose scales are at `scale` and follow each other if Each.
template <bool Each>
MEMCORE_ALWAYS_INLINE void lay_line(const LayPairs& l, const float* from, const float* scale, int64_t width,
                                    float* positive, float* negative, Seen& before) {
  const Vec start = splat(l.start), common = splat(scale[0]);
  Seen seen = before;  // in registers
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Vec w = load(from + i), value = part_of(l, w, Each ? load(scale + i) : common);
    store(positive + i, w > 0.0f ? value : start);
    store(negative + i, w < 0.0f ? value : start);
    see(seen, value);
  }
  for (; i < width; ++i) {
    const Vec w = splat(from[i]), value = part_of(l, w, splat(scale[Each ? i : 0]));
    positive[i] = from[i] > 0.0f ? value[0] : l.start;
    negative[i] = from[i] < 0.0f ? value[0] : l.start;
    see(seen, value);
  }
  before = seen;
}

inline void fill_line(float* to, int64_t count, float value) {
  for (int64_t i = 0; i < count; ++i) to[i] = value;
}

inline void lay_band(const LayPairs& l, const Tile& tile, int64_t task, Seen& seen) {
  const Tile::Band b = tile.band(task);
  const int64_t width = l.at.tile_cols;
  float* const positive = l.out + b.tile * tile.cells();
  float* const negative = positive + tile.count() * tile.cells();
  const float* const matrix = l.weight + b.group * l.at.rows * l.at.cols;
  const int64_t rows = smaller(b.last, b.rows);
  alignas(64) float square[kBandLines * kBandCols];
  for (int64_t c = 0; c < b.cols; c += kBandCols) {
    const int64_t cols = smaller(kBandCols, b.cols - c);
    if (l.by_columns && b.first < rows)
      transpose<true>(matrix + (b.col + c) * l.at.rows + b.row + b.first, l.at.rows, cols, rows - b.first, square,
                      kBandCols);
    for (int64_t r = b.first; r < rows; ++r) {
      const float* const from =
          l.by_columns ? square + (r - b.first) * kBandCols : matrix + (b.row + r) * l.at.cols + b.col + c;
      float* const up = positive + r * width + c;
      float* const down = negative + r * width + c;
      if (l.scale_size == 1)
        lay_line<false>(l, from, l.scale, cols, up, down, seen);
      else
        lay_line<true>(l, from, l.scale + b.col + c, cols, up, down, seen);
    }
  }
  for (int64_t r = b.first; r < b.last; ++r) {
    const int64_t used = r < b.rows ? b.cols : 0;
    if (used == width) continue;
    fill_line(positive + r * width + used, width - used, l.fill);
    fill_line(negative + r * width + used, width - used, l.fill);
    see(seen, splat(l.fill));
  }
}

inline void lay_pairs(const LayPairs& l) {
  const Tile tile(l.at);
  const Memory<float> found(3 * tile.tasks());
  parallel_for(tile.tasks(), 8, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      Seen seen = {splat(l.start), splat(l.start), Vec{}};  // every weight is 0 in one of the parts at least
      lay_band(l, tile, task, seen);
      float* const all = found.data + 3 * task;
      all[0] = seen.least[0];
      all[1] = seen.most[0];
      all[2] = seen.check[0];
      for (int lane = 1; lane < kLanes; ++lane) {
        all[0] = seen.least[lane] < all[0] ? seen.least[lane] : all[0];
        all[1] = seen.most[lane] > all[1] ? seen.most[lane] : all[1];
        all[2] += seen.check[lane];
      }
    }
  });
  l.range[0] = l.range[1] = l.start;
  l.range[2] = 0.0f;
  for (int64_t task = 0; task < tile.tasks(); ++task) {
    const float* const seen = found.data + 3 * task;
    l.range[0] = seen[0] < l.range[0] ? seen[0] : l.range[0];
    l.range[1] = seen[1] > l.range[1] ? seen[1] : l.range[1];
    l.range[2] += seen[2];
  }
}

}  // namespace
}  // namespace memcore
