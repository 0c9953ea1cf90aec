// Sums of one-bit cells, one byte a cell, each told through a table of sense amplifiers.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/tables.h"
#include "memory.h"
#include "parallel.h"
#include "philox_kernels.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kSensedCols = 1024;         // columns that are summed together
constexpr int64_t kSensedDraws = 16 * 1024;   // uniform numbers that are drawn together, at least one unit
constexpr int64_t kSensedGrain = 256 * 1024;  // sums of one task, about 1 ms

// One unit and some of its columns: where they are, and how many word lines are open.
struct SensedUnit {
  const uint8_t* bits;   // [rows]
  const uint8_t* cells;  // [rows, cols] at the first of these columns
  int64_t open, width;
};

inline void add_open_rows(const SensedSums& s, const SensedUnit& unit, uint16_t* sums) {
  for (int64_t j = 0; j < unit.width; ++j) sums[j] = 0;
  for (int64_t k = 0; k < s.rows; ++k) {
    if (unit.bits[k] == 0) continue;
    const uint8_t* const row = unit.cells + k * s.cols;
    for (int64_t j = 0; j < unit.width; ++j) sums[j] = static_cast<uint16_t>(sums[j] + row[j]);
  }
}

// The row of the table of a number of open lines.
struct ToldLine {
  const float* threshold;  // [sums, 2^shift]
  const float* other;
  int shift;
};

// What is told of kLanes sums; the loads are gathers, as a branch on chance is mispredicted half of the time.
MEMCORE_ALWAYS_INLINE Vec told_vec(const ToldLine& line, const uint16_t* sums, const float* uniform) {
  const Vec point = load(uniform) * splat(static_cast<float>(1 << line.shift));
  IntVec sum;
  for (int i = 0; i < kLanes; ++i) sum[i] = sums[i];
  const IntVec column = __builtin_convertvector(point, IntVec);
  const Vec whole = __builtin_convertvector(column, Vec);
  const IntVec at = (sum << line.shift) + column;
#if defined(__AVX512F__)
  const Vec threshold = (Vec)_mm512_i32gather_ps((__m512i)at, line.threshold, 4);
  const Vec other = (Vec)_mm512_i32gather_ps((__m512i)at, line.other, 4);
#elif defined(__AVX2__)
  const Vec threshold = (Vec)_mm256_i32gather_ps(line.threshold, (__m256i)at, 4);
  const Vec other = (Vec)_mm256_i32gather_ps(line.other, (__m256i)at, 4);
#else
  Vec threshold, other;
  for (int i = 0; i < kLanes; ++i) {
    threshold[i] = line.threshold[at[i]];
    other[i] = line.other[at[i]];
  }
#endif
  return point - whole < threshold ? whole : other;
}

// Adds what is told of the sums to out; uniform numbers lie at `uniform`.
inline void add_told(const SensedSums& s, const SensedUnit& unit, const uint16_t* sums, const float* uniform,
                     float* out) {
  int shift = 0;
  while ((int64_t{1} << shift) < s.sensed) ++shift;
  const int64_t row = unit.open * (s.lines + 1) * s.sensed;
  const ToldLine line{s.threshold + row, s.other + row, shift};
  int64_t j = 0;
  for (; j + kLanes <= unit.width; j += kLanes) store(out + j, load(out + j) + told_vec(line, sums + j, uniform + j));
  if (j == unit.width) return;
  float rest[kLanes] = {};  // nobody drew what lies behind the last number
  for (int i = 0; j + i < unit.width; ++i) rest[i] = uniform[j + i];
  const Vec last = told_vec(line, sums + j, rest);
  for (int i = 0; j + i < unit.width; ++i) out[j + i] += last[i];
}

inline void add_unit(const SensedSums& s, const SensedUnit& unit, const float* uniform, float* out) {
  uint16_t sums[kSensedCols + kLanes] = {};
  add_open_rows(s, unit, sums);
  if (s.threshold != nullptr) {
    add_told(s, unit, sums, uniform, out);
  } else {
    for (int64_t j = 0; j < unit.width; ++j) out[j] += static_cast<float>(sums[j]);
  }
}

// Units first .. last-1 of one read and one group; `uniform` holds the numbers of all their sums.
inline void add_units(const SensedSums& s, int64_t which, int64_t first, int64_t last, const float* uniform,
                      float* out) {
  const int64_t group = which % s.groups;
  for (int64_t u = first; u < last; ++u) {
    const uint8_t* const bits = s.bits + (which * s.units + u) * s.rows;
    int64_t open = 0;
    for (int64_t k = 0; k < s.rows; ++k) open += bits[k];
    if (open == 0) continue;  // 0 is told where no word line is open
    const uint8_t* const cells = s.cells + (group * s.units + u) * s.rows * s.cols;
    for (int64_t j = 0; j < s.cols; j += kSensedCols)
      add_unit(s, SensedUnit{bits, cells + j, open, smaller(kSensedCols, s.cols - j)},
               uniform + (u - first) * s.cols + j, out + j);
  }
}

inline void sensed_sums(const SensedSums& s) {
  const int64_t together = larger(1, kSensedDraws / larger(1, s.cols));  // units
  const int64_t grain = ceil_div(kSensedGrain, larger(1, s.units * s.cols));
  parallel_for(s.n * s.groups, grain, [&](int64_t begin, int64_t end) {
    const Memory<float> memory(together * s.cols + 8);
    for (int64_t which = begin; which < end; ++which) {
      float* const out = s.out + which * s.cols;
      for (int64_t j = 0; j < s.cols; ++j) out[j] = 0.0f;
      for (int64_t u = 0; u < s.units; u += together) {
        const int64_t last = smaller(s.units, u + together), place = which % s.groups * s.units;
        const int64_t from = (place + u) * s.cols, start = from / 4 * 4;  // blocks of four numbers
        if (s.threshold != nullptr)
          draw_run(s.key, static_cast<uint64_t>(s.reads[which / s.groups]), start, (place + last) * s.cols, Uniform{},
                   memory.data - start);
        add_units(s, which, u, last, memory.data + (from - start), out);
      }
    }
  });
}

}  // namespace
}  // namespace memcore
