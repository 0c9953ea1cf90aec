// Vectors of bytes and of 16-bit numbers, for reads of cells that hold whole numbers.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "simd.h"

namespace memcore {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kBytes = 32;
#else
constexpr int64_t kBytes = 16;
#endif

typedef uint8_t Bytes __attribute__((vector_size(kBytes)));
typedef uint16_t Sums __attribute__((vector_size(kBytes)));
typedef int16_t Shorts __attribute__((vector_size(kBytes)));
typedef uint8_t UnalignedBytes __attribute__((vector_size(kBytes), aligned(1), may_alias));
typedef uint16_t UnalignedSums __attribute__((vector_size(kBytes), aligned(2), may_alias));
typedef int16_t UnalignedShorts __attribute__((vector_size(kBytes), aligned(2), may_alias));

constexpr int64_t kShorts = kBytes / 2;

MEMCORE_ALWAYS_INLINE Sums load_sums(const int16_t* p) { return *reinterpret_cast<const UnalignedSums*>(p); }
MEMCORE_ALWAYS_INLINE Shorts load_shorts(const int16_t* p) { return *reinterpret_cast<const UnalignedShorts*>(p); }
MEMCORE_ALWAYS_INLINE void store_shorts(int16_t* p, Shorts v) { *reinterpret_cast<UnalignedShorts*>(p) = v; }
MEMCORE_ALWAYS_INLINE Bytes load_bytes(const int8_t* p) { return *reinterpret_cast<const UnalignedBytes*>(p); }

// The bytes of a vector as signed numbers of 16 bits, those of its lower half and of its upper half.
MEMCORE_ALWAYS_INLINE void widen_signed(Bytes bytes, Shorts& lower, Shorts& upper) {
#if defined(__AVX512F__)
  lower = (Shorts)_mm512_cvtepi8_epi16(_mm512_castsi512_si256((__m512i)bytes));
  upper = (Shorts)_mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64((__m512i)bytes, 1));
#elif defined(__AVX2__)
  lower = (Shorts)_mm256_cvtepi8_epi16(_mm256_castsi256_si128((__m256i)bytes));
  upper = (Shorts)_mm256_cvtepi8_epi16(_mm256_extracti128_si256((__m256i)bytes, 1));
#else
  for (int i = 0; i < kShorts; ++i) {
    lower[i] = static_cast<int8_t>(bytes[i]);
    upper[i] = static_cast<int8_t>(bytes[kShorts + i]);
  }
#endif
}

// floor(a b / 2^15 + 1/2).
MEMCORE_ALWAYS_INLINE Shorts multiply_rounded(Shorts a, Shorts b) {
#if defined(__AVX512F__)
  return (Shorts)_mm512_mulhrs_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Shorts)_mm256_mulhrs_epi16((__m256i)a, (__m256i)b);
#else
  for (int i = 0; i < kShorts; ++i) a[i] = static_cast<int16_t>((a[i] * b[i] + (1 << 14)) >> 15);
  return a;
#endif
}

MEMCORE_ALWAYS_INLINE Vec floats_of(const int16_t* p) {
#if defined(__AVX512F__)
  return (Vec)_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__AVX2__)
  return (Vec)_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  Vec whole;
  for (int i = 0; i < kLanes; ++i) whole[i] = static_cast<float>(p[i]);
  return whole;
#endif
}

// An end of the range, which may lie beyond all codes of 16 bits.
inline int16_t code_of(float end) {
  return static_cast<int16_t>(end < -32767.0f ? -32767.0f : end > 32767.0f ? 32767.0f : end);
}

}  // namespace
}  // namespace memcore
