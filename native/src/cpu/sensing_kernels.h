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

// Sums of up to 255 rows are bytes.
template <class Sum>
void add_open_rows(const SensedSums& s, const SensedUnit& unit, Sum* sums) {
  for (int64_t j = 0; j < unit.width; ++j) sums[j] = 0;
  for (int64_t k = 0; k < s.rows; ++k) {
    if (unit.bits[k] == 0) continue;
    const uint8_t* const row = unit.cells + k * s.cols;
    for (int64_t j = 0; j < unit.width; ++j) sums[j] = static_cast<Sum>(sums[j] + row[j]);
  }
}

// The words of the stream as they are: their halves are the upper 16 bits of the uniform numbers, in the order of
// memory.
struct Halves {
  using Number = uint32_t;
  void operator()(const Words& words, Numbers<uint32_t>& out) const {
    for (int lane = 0; lane < 4; ++lane)
      for (int i = 0; i < kBatch; ++i) out.v[lane][i] = words.w[lane][i];
  }
};
typedef uint16_t __attribute__((may_alias)) Half;
constexpr int kLowBits = 8;          // of the 24 of a uniform number, drawn only where they decide
constexpr int64_t kLowest = 1 << 8;  // numbers of these bits
constexpr int kHalfBits = 16;

// Where the draws of a run of sums come from: its read, and the element of its first sum.
struct Drawn {
  uint64_t key, read;
  const Half* halves;
  int64_t first;
};

// The lower 8 bits of the uniform number of an element.
inline int32_t low_bits(const Drawn& drawn, int64_t element) {
  const uint64_t at = static_cast<uint64_t>(kSensedLow + element);
  return static_cast<int32_t>(philox_block(drawn.key, at >> 2, drawn.read).w[at & 3] >> 24);
}

// Threshold and alias of a column in one number, threshold << shift | other, so that one load has both, the threshold
// as an integer of the bits of a fraction, which tells the same as in floating point; of all tables [open, sum,
// 2^shift] if `count` fits.
inline bool pack_told(const SensedSums& s, int shift, int64_t count, uint32_t* out) {
  const float whole = static_cast<float>(1 << (24 - shift));
  for (int64_t i = 0; i < count; ++i) {
    const float threshold = s.threshold[i], other = s.other[i];
    if (!(threshold >= 0.0f && threshold <= 1.0f && other >= 0.0f && other < static_cast<float>(s.sensed)))
      return false;
    const uint32_t alias = static_cast<uint32_t>(other);
    if (static_cast<float>(alias) != other) return false;
    const float scaled = threshold * whole;  // exact
    const uint32_t below = static_cast<uint32_t>(scaled);
    out[i] = (below + (static_cast<float>(below) < scaled ? 1u : 0u)) << shift | alias;
  }
  return true;
}

// The row of the table of a number of open lines: packed, or as it was given.
struct ToldLine {
  const uint32_t* packed;  // [sums, 2^shift] or nullptr
  const float* threshold;  // [sums, 2^shift]
  const float* other;
  int shift;
};

template <class Sum>
MEMCORE_ALWAYS_INLINE IntVec widened(const Sum* sums) {
#if defined(__AVX512F__)
  if (sizeof(Sum) == 1) return (IntVec)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sums)));
  return (IntVec)_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums)));
#elif defined(__AVX2__)
  if (sizeof(Sum) == 1) return (IntVec)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(sums)));
  return (IntVec)_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sums)));
#else
  IntVec sum;
  for (int i = 0; i < kLanes; ++i) sum[i] = sums[i];
  return sum;
#endif
}

MEMCORE_ALWAYS_INLINE IntVec gathered(const uint32_t* table, IntVec at) {
#if defined(__AVX512F__)
  return (IntVec)_mm512_i32gather_epi32((__m512i)at, table, 4);
#elif defined(__AVX2__)
  return (IntVec)_mm256_i32gather_epi32(reinterpret_cast<const int*>(table), (__m256i)at, 4);
#else
  IntVec found;
  for (int i = 0; i < kLanes; ++i) found[i] = static_cast<int32_t>(table[at[i]]);
  return found;
#endif
}

#if defined(__AVX512F__)
constexpr int kToldPairs = 5;  // of registers that hold a table: up to 9 lines of 16 columns

// As gathered, of a table that fits into Pairs pairs of registers: a third of the time of a gather on Zen 4.
template <int Pairs>
MEMCORE_ALWAYS_INLINE IntVec permuted(const uint32_t* table, IntVec at) {
  const __m512i index = (__m512i)at, pair = _mm512_srli_epi32(index, 5);
  __m512i found = _mm512_permutex2var_epi32(_mm512_loadu_si512(table), index, _mm512_loadu_si512(table + 16));
#pragma GCC unroll 5
  for (int k = 1; k < Pairs; ++k) {
    const __m512i low = _mm512_loadu_si512(table + 32 * k), high = _mm512_loadu_si512(table + 32 * k + 16);
    const __mmask16 here = _mm512_cmpeq_epi32_mask(pair, _mm512_set1_epi32(k));
    found = _mm512_mask_mov_epi32(found, here, _mm512_permutex2var_epi32(low, index, high));
  }
  return (IntVec)found;
}
#endif

// Which of kLanes columns are told, of which the others are the aliases, at numbers with given lower bits.
struct Choice {
  IntVec column, fraction;  // of 24 bits with the column, the lower 8 of them 0
  IntVec entry;             // packed
  Vec threshold, other;     // as they were given
};

MEMCORE_ALWAYS_INLINE IntVec is_kept(const ToldLine& line, const Choice& at, int32_t low) {
  if (line.packed != nullptr) return at.fraction + low < (at.entry >> line.shift);
  const Vec whole = __builtin_convertvector(at.fraction + low, Vec);
  return whole * splat(1.0f / static_cast<float>(1 << (24 - line.shift))) < at.threshold;
}

MEMCORE_ALWAYS_INLINE bool any_of(IntVec mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8((__m256i)mask) != 0;
#else
  for (int i = 0; i < kLanes; ++i)
    if (mask[i] != 0) return true;
  return false;
#endif
}

template <int Pairs, class Sum>
MEMCORE_ALWAYS_INLINE Choice choice_of(const ToldLine& line, const Sum* sums, const Half* halves) {
  const int rest = kHalfBits - line.shift;
  const IntVec number = widened(halves);
  Choice at;
  at.column = number >> rest;
  at.fraction = (number & ((1 << rest) - 1)) << kLowBits;
  const IntVec place = (widened(sums) << line.shift) + at.column;
  if (line.packed != nullptr) {
#if defined(__AVX512F__)
    at.entry = Pairs == 0 ? gathered(line.packed, place) : permuted<Pairs>(line.packed, place);
#else
    at.entry = gathered(line.packed, place);
#endif
  } else {
    at.threshold = (Vec)gathered(reinterpret_cast<const uint32_t*>(line.threshold), place);
    at.other = (Vec)gathered(reinterpret_cast<const uint32_t*>(line.other), place);
  }
  return at;
}

// What is told of kLanes sums; the loads are gathers, as a branch on chance is mispredicted half of the time. Where the
// upper bits of a number leave open on which side of the threshold it lies, one of some thousands, the lower are drawn.
template <int Pairs, class Sum>
MEMCORE_ALWAYS_INLINE Vec told_vec(const ToldLine& line, const Sum* sums, const Drawn& drawn, int64_t j) {
  const Choice at = choice_of<Pairs>(line, sums + j, drawn.halves + j);
  IntVec kept = is_kept(line, at, 0);
  const IntVec open = kept ^ is_kept(line, at, kLowest - 1);
  if (__builtin_expect(any_of(open), 0)) {
    for (int i = 0; i < kLanes; ++i)
      if (open[i] != 0) kept[i] = is_kept(line, at, low_bits(drawn, drawn.first + j + i))[i];
  }
  const Vec column = __builtin_convertvector(at.column, Vec);
  if (line.packed == nullptr) return kept ? column : at.other;
  return kept ? column : __builtin_convertvector(at.entry & ((1 << line.shift) - 1), Vec);
}

inline int shift_of(const SensedSums& s) {
  int shift = 0;
  while ((int64_t{1} << shift) < s.sensed) ++shift;
  return shift;
}

// Adds what is told of the sums of a unit to out.
template <int Pairs, class Sum>
void add_told(const ToldLine& line, const SensedUnit& unit, const Sum* sums, const Drawn& drawn, float* out) {
  int64_t j = 0;
  for (; j + kLanes <= unit.width; j += kLanes) store(out + j, load(out + j) + told_vec<Pairs>(line, sums, drawn, j));
  if (j == unit.width) return;
  Half rest[kLanes] = {};  // nobody drew what lies behind the last number
  for (int i = 0; j + i < unit.width; ++i) rest[i] = drawn.halves[j + i];
  const Vec last = told_vec<Pairs>(line, sums + j, Drawn{drawn.key, drawn.read, rest, drawn.first + j}, 0);
  for (int i = 0; j + i < unit.width; ++i) out[j + i] += last[i];
}

template <class Sum>
using AddTold = void (*)(const ToldLine&, const SensedUnit&, const Sum*, const Drawn&, float*);

// The way to look up what is told in a table of so many numbers.
template <class Sum>
AddTold<Sum> add_told_of(const ToldLine& line, int64_t numbers) {
#if defined(__AVX512F__)
  static constexpr AddTold<Sum> ways[kToldPairs] = {add_told<1, Sum>, add_told<2, Sum>, add_told<3, Sum>,
                                                    add_told<4, Sum>, add_told<5, Sum>};
  if (line.packed != nullptr && numbers <= 32 * kToldPairs) return ways[ceil_div(numbers, 32) - 1];
#else
  (void)line, (void)numbers;
#endif
  return add_told<0, Sum>;
}

template <class Sum>
void add_unit(const SensedSums& s, const uint32_t* packed, const SensedUnit& unit, const Drawn& drawn, float* out) {
  Sum sums[kSensedCols + kLanes] = {};
  add_open_rows(s, unit, sums);
  if (s.threshold != nullptr) {
    const int64_t row = unit.open * (s.lines + 1) * s.sensed;
    const ToldLine line{packed == nullptr ? nullptr : packed + row, s.threshold + row, s.other + row, shift_of(s)};
    add_told_of<Sum>(line, (unit.open + 1) * s.sensed)(line, unit, sums, drawn, out);
  } else {
    for (int64_t j = 0; j < unit.width; ++j) out[j] += static_cast<float>(sums[j]);
  }
}

// Units first .. last-1 of one read and one group, whose draws begin with those of unit first.
inline void add_units(const SensedSums& s, const uint32_t* packed, int64_t which, int64_t first, int64_t last,
                      const Drawn& drawn, float* out) {
  const int64_t group = which % s.groups;
  const auto add = s.rows <= 255 ? add_unit<uint8_t> : add_unit<uint16_t>;
  for (int64_t u = first; u < last; ++u) {
    const uint8_t* const bits = s.bits + (which * s.units + u) * s.rows;
    int64_t open = 0;
    for (int64_t k = 0; k < s.rows; ++k) open += bits[k];
    if (open == 0) continue;  // 0 is told where no word line is open
    const uint8_t* const cells = s.cells + (group * s.units + u) * s.rows * s.cols;
    for (int64_t j = 0; j < s.cols; j += kSensedCols) {
      const int64_t past = (u - first) * s.cols + j;
      add(s, packed, SensedUnit{bits, cells + j, open, smaller(kSensedCols, s.cols - j)},
          Drawn{drawn.key, drawn.read, drawn.halves + past, drawn.first + past}, out + j);
    }
  }
}

inline void sensed_sums(const SensedSums& s) {
  const int64_t together = larger(1, kSensedDraws / larger(1, s.cols));  // units
  const int64_t grain = ceil_div(kSensedGrain, larger(1, s.units * s.cols));
  // Tables are packed where that is little beside what is told of them.
  const int64_t entries = (s.lines + 1) * (s.lines + 1) * s.sensed;
  const bool small = s.threshold != nullptr && 8 * entries < s.n * s.groups * s.units * s.cols;
  const Memory<uint32_t> table(small ? entries + 32 : 1);  // registers are read whole
  const uint32_t* const packed = small && pack_told(s, shift_of(s), entries, table.data) ? table.data : nullptr;
  parallel_for(s.n * s.groups, grain, [&](int64_t begin, int64_t end) {
    const Memory<uint32_t> memory(together * s.cols / 2 + 8);
    for (int64_t which = begin; which < end; ++which) {
      float* const out = s.out + which * s.cols;
      for (int64_t j = 0; j < s.cols; ++j) out[j] = 0.0f;
      const uint64_t read = static_cast<uint64_t>(s.reads[which / s.groups]);
      for (int64_t u = 0; u < s.units; u += together) {
        const int64_t last = smaller(s.units, u + together), place = which % s.groups * s.units;
        const int64_t from = (place + u) * s.cols, start = from / 8 * 8;  // blocks of four words
        if (s.threshold != nullptr)
          draw_run(s.key, read, start / 2, ((place + last) * s.cols + 1) / 2, Halves{}, memory.data - start / 2);
        const Half* const halves = reinterpret_cast<const Half*>(memory.data) + (from - start);
        add_units(s, packed, which, u, last, Drawn{s.key, read, halves, from}, out);
      }
    }
  });
}

}  // namespace
}  // namespace memcore
