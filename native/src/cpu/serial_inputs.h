// Codes of inputs, and their bits.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/serial.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kPackedRows = 16;  // rows whose bits are taken together

// Codes of one read, each tile from a multiple of kPackedRows on; whether none is NaN.
inline bool find_codes(const SerialRead& r, const float* x, int64_t apart, int32_t* codes) {
  const float step = r.step[0];
  IntVec nan = {};
  for (int64_t first = 0; first < r.rows; first += r.tile_rows, codes += apart) {
    const int64_t count = smaller(r.tile_rows, r.rows - first);
    for (int64_t k = 0; k < count; k += kLanes) {
      Vec value = {};
      if (k + kLanes <= count)
        value = load(x + first + k);
      else
        for (int64_t i = k; i < count; ++i) value[i - k] = x[first + i];
      nan |= value != value;
      value = value == value ? value : Vec{};
      value = clamp(round_even(value / step), splat(r.dac_lo), splat(r.dac_hi));
      const IntVec code = __builtin_convertvector(value, IntVec);
      for (int i = 0; i < kLanes; ++i) codes[k + i] = k + i < count ? code[i] : 0;
    }
  }
  return !any(nan);
}

MEMCORE_ALWAYS_INLINE IntVec plane_word(IntVec code, int64_t source, int32_t lowest) {
  switch (source) {
    case BitPlane::kPositive:
      return code > 0 ? code : IntVec{};
    case BitPlane::kNegative:
      return code < 0 ? -code : IntVec{};
    case BitPlane::kTwosComplement:
      return code < 0 ? code - lowest : code;
    default:
      return code < 0 ? IntVec{} + 1 : IntVec{};
  }
}

// One bit of kPackedRows codes.
inline uint32_t bits_of(const int32_t* codes, const BitPlane& plane, int32_t lowest) {
  typedef int32_t UnalignedIntVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
  uint32_t bits = 0;
  for (int64_t k = 0; k < kPackedRows; k += kLanes) {
    const IntVec code = *reinterpret_cast<const UnalignedIntVec*>(codes + k);
    const IntVec word = plane_word(code, plane.source, lowest) << static_cast<int32_t>(31 - plane.bit);
#if defined(__AVX512F__)
    bits |= static_cast<uint32_t>(_mm512_movepi32_mask((__m512i)word)) << k;
#elif defined(__AVX2__)
    bits |= static_cast<uint32_t>(_mm256_movemask_ps((__m256)word)) << k;
#elif defined(MEMCORE_X86)
    bits |= static_cast<uint32_t>(_mm_movemask_ps((__m128)word)) << k;
#else
    for (int i = 0; i < kLanes; ++i) bits |= (static_cast<uint32_t>(word[i]) >> 31) << (k + i);
#endif
  }
  return bits;
}

}  // namespace
}  // namespace memcore
