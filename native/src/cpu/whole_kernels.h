// Products of whole numbers: codes of a DAC, a byte each, with the levels of pairs of cells, a byte each.
//
// Their sums are exact, as those of floats are below 2^24.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "mvm_kernels.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

#if defined(__AVX2__)
constexpr bool kMultipliesBytes = true;
constexpr int kWholeRows = kBlockRows < 14 ? 4 : 7;  // whose accumulators, inputs and sums are in registers
#else
constexpr bool kMultipliesBytes = false;
constexpr int kWholeRows = 4;
#endif

constexpr int64_t kEight = 8;             // inputs that are multiplied together
constexpr float kFewInputs = 16.0f;       // of which floats are as fast
constexpr float kLargestLevel = 32.0f;    // four products with codes are within 16 bits
constexpr float kLargestCode = 255.0f;    // above the lowest one
constexpr float kExactSum = 16777216.0f;  // up to which floats hold all whole numbers

typedef int32_t UnalignedInts __attribute__((vector_size(kLanes * 4), aligned(1), may_alias));

MEMCORE_ALWAYS_INLINE IntVec load_ints(const void* p) { return *static_cast<const UnalignedInts*>(p); }
MEMCORE_ALWAYS_INLINE void store_ints(void* p, IntVec v) { *static_cast<UnalignedInts*>(p) = v; }
MEMCORE_ALWAYS_INLINE IntVec splat_ints(int32_t i) { return i - IntVec{}; }

MEMCORE_ALWAYS_INLINE int32_t four_of(const void* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return four;
}

// Whether codes lo .. hi are whole and fit into bytes, and sums of so many products with levels into floats.
inline bool fits_bytes(float lo, float hi, int64_t inputs) {
  const float largest = -lo > hi ? -lo : hi, count = static_cast<float>(inputs);
  if (!kMultipliesBytes || lo != __builtin_rintf(lo) || hi != __builtin_rintf(hi) ||
      !(lo <= hi && hi - lo <= kLargestCode))
    return false;
  return count >= kFewInputs && count * largest * kLargestLevel <= kExactSum;
}

// Puts kLanes small numbers into bytes.
MEMCORE_ALWAYS_INLINE void store_bytes(int8_t* p, IntVec v) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8((__m512i)v));
#elif defined(__AVX2__)
  const __m128i shorts = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(shorts, shorts));
#else
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<int8_t>(v[i]);
#endif
}

// Puts whole numbers into bytes. Their sum.
inline int32_t put_bytes(const float* from, int64_t count, int8_t* to) {
  IntVec sums = {};
  int64_t k = 0;
  for (; k + kLanes <= count; k += kLanes) {
    const IntVec some = __builtin_convertvector(load(from + k), IntVec);
    sums += some;
    store_bytes(to + k, some);
  }
  int32_t sum = 0;
  for (; k < count; ++k) {
    to[k] = static_cast<int8_t>(from[k]);
    sum += to[k];
  }
  for (int i = 0; i < kLanes; ++i) sum += sums[i];
  return sum;
}

// Eight bytes of each lane, four in each vector.
struct Eight {
  IntVec first, second;
};

#if defined(__AVX512F__)
// Whether one instruction adds the products of four bytes of each lane with four others.
inline bool adds_fours() {
  static const bool adds = __builtin_cpu_supports("avx512vnni");
  return adds;
}
#endif

// sum + the products of eight codes with eight levels. Fours: as adds_fours() says; an instruction, since this file is
// compiled for processors without it.
template <bool Fours>
MEMCORE_ALWAYS_INLINE IntVec add_eight(IntVec sum, const Eight& codes, const Eight& levels) {
#if defined(__AVX512F__)
  if (Fours) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes.first), "v"(levels.first));
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes.second), "v"(levels.second));
    return sum;
  }
  const __m512i pairs = _mm512_add_epi16(_mm512_maddubs_epi16((__m512i)codes.first, (__m512i)levels.first),
                                         _mm512_maddubs_epi16((__m512i)codes.second, (__m512i)levels.second));
  return sum + (IntVec)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif defined(__AVX2__)
  const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16((__m256i)codes.first, (__m256i)levels.first),
                                         _mm256_maddubs_epi16((__m256i)codes.second, (__m256i)levels.second));
  return sum + (IntVec)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#else
  (void)codes, (void)levels;
  return sum;  // never called: !kMultipliesBytes
#endif
}

// Four rows of numbers `apart` from each other, or the first `count` of them, less `lo`, as bytes of each lane. Adds to
// `missing` which of them are no numbers.
MEMCORE_ALWAYS_INLINE IntVec four_bytes(const float* rows, int64_t apart, int64_t count, float lo, IntVec& missing) {
  IntVec four = {};
  for (int64_t j = 0; j < smaller(4, count); ++j) {
    const Vec number = load(rows + j * apart);
    missing |= number != number;
    four |= (__builtin_convertvector(number - lo, IntVec) & 255) << static_cast<int>(8 * j);
  }
  return four;
}

// Puts whole numbers [depth, kPanel] into bytes [depth / 4, kPanel, 4], and `lo` times the sums of columns to offsets.
// Whether all of them are levels.
inline bool put_levels(const float* from, int64_t depth, int32_t lo, int8_t* to, int32_t* offsets) {
  IntVec others = {};
  for (int64_t i = 0; i < kPanel; i += kLanes) {
    IntVec sums = {};
    for (int64_t k = 0; k < depth; ++k) {
      const Vec level = load(from + k * kPanel + i), size = level < 0.0f ? -level : level;
      others |= (round_even(level) != level) | (size > kLargestLevel);
      sums += __builtin_convertvector(level, IntVec);
    }
    store_ints(offsets + i, sums * lo);
  }
  for (int64_t k = 0; k < depth; k += 4)
    for (int64_t i = 0; i < kPanel; i += kLanes, to += 4 * kLanes)
      store_ints(to, four_bytes(from + k * kPanel + i, kPanel, depth - k, 0.0f, others));
  for (int64_t i = 0; depth % kEight > 0 && depth % kEight <= 4 && i < kPanel; i += kLanes, to += 4 * kLanes)
    store_ints(to, IntVec{});
  return !any(others);
}

// Bytes of rows, each of which is the same in all lanes: those of a row are four and four, `next` bytes apart.
struct ByteRows {
  const void* bytes;
  int64_t apart, next;
  MEMCORE_ALWAYS_INLINE Eight of(int row) const {
    const char* const at = static_cast<const char*>(bytes) + row * apart;
    return {splat_ints(four_of(at)), splat_ints(four_of(at + next))};
  }
};

// Adds to sums [Rows, kPanel] the products of `eights` times eight bytes of rows with those of kBlockCols lanes, which
// are [2 * eights, kPanel, 4]; begins with zero if `anew`. HasCodes: rows are of codes, and lanes of levels; else the
// other way round. `more` is added for each output: each lane of codes, each row of levels.
template <bool HasCodes, bool Fours, int Rows>
void multiply_bytes(ByteRows rows, const void* lanes, int64_t eights, const int32_t* more, bool anew, int32_t* sums) {
  const char* at = static_cast<const char*>(lanes);
  IntVec acc[Rows][2];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
    for (int v = 0; v < 2; ++v)
      acc[i][v] = (HasCodes ? load_ints(more + v * kLanes) : splat_ints(more[i])) +
                  (anew ? IntVec{} : load_ints(sums + i * kPanel + v * kLanes));
  for (; eights > 0; --eights, at += 2 * 4 * kPanel) {
    const Eight left = {load_ints(at), load_ints(at + 4 * kPanel)};
    const Eight right = {load_ints(at + 4 * kLanes), load_ints(at + 4 * kPanel + 4 * kLanes)};
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Eight row = rows.of(i);
      acc[i][0] = HasCodes ? add_eight<Fours>(acc[i][0], row, left) : add_eight<Fours>(acc[i][0], left, row);
      acc[i][1] = HasCodes ? add_eight<Fours>(acc[i][1], row, right) : add_eight<Fours>(acc[i][1], right, row);
    }
    rows.bytes = static_cast<const char*>(rows.bytes) + 2 * rows.next;
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i)
    for (int v = 0; v < 2; ++v) store_ints(sums + i * kPanel + v * kLanes, acc[i][v]);
}

using MultiplyBytes = void (*)(ByteRows, const void*, int64_t, const int32_t*, bool, int32_t*);

template <bool HasCodes, bool Fours>
MultiplyBytes multiply_bytes_table(int64_t rows) {
  static constexpr MultiplyBytes table[] = {
      multiply_bytes<HasCodes, Fours, 1>, multiply_bytes<HasCodes, Fours, 2>, multiply_bytes<HasCodes, Fours, 3>,
      multiply_bytes<HasCodes, Fours, 4>,
#if defined(__AVX512F__)
      multiply_bytes<HasCodes, Fours, 5>, multiply_bytes<HasCodes, Fours, 6>, multiply_bytes<HasCodes, Fours, 7>,
#endif
  };
  return table[rows - 1];
}

template <bool HasCodes>
MultiplyBytes multiply_bytes_of(int64_t rows) {
#if defined(__AVX512F__)
  if (adds_fours()) return multiply_bytes_table<HasCodes, true>(rows);
#endif
  return multiply_bytes_table<HasCodes, false>(rows);
}

}  // namespace
}  // namespace memcore
