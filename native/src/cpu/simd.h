// Vectors of floats as wide as the instruction set being compiled, with GCC's vector extensions.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

// MEMCORE_PORTABLE compiles the code for other processors on x86 too, to test it.
#if defined(__x86_64__) && !defined(MEMCORE_PORTABLE)
#define MEMCORE_X86 1
#include <immintrin.h>
#endif

namespace memcore {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));
typedef float UnalignedVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

#define MEMCORE_ALWAYS_INLINE inline __attribute__((always_inline))

MEMCORE_ALWAYS_INLINE Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
MEMCORE_ALWAYS_INLINE void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }

// A store that bypasses the caches, for results larger than they are; p must be aligned to a Vec.
MEMCORE_ALWAYS_INLINE void store_around_cache(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v);
#elif defined(MEMCORE_X86)
  _mm_stream_ps(p, (__m128)v);
#else
  store(p, v);
#endif
}

// To be called by a thread after its last store_around_cache.
MEMCORE_ALWAYS_INLINE void finish_stores() {
#if defined(MEMCORE_X86)
  _mm_sfence();
#endif
}

constexpr int64_t kCached = 4 * 1024 * 1024;  // floats; results beyond this do not stay in a cache anyway

// Whether count results at p should bypass the caches. Pieces of them then begin at multiples of kLanes.
inline bool bypasses_cache(const float* p, int64_t count) {
  return count > kCached && reinterpret_cast<uintptr_t>(p) % sizeof(Vec) == 0;
}

template <bool AroundCache>
MEMCORE_ALWAYS_INLINE void put(float* p, Vec v) {
  if (AroundCache)
    store_around_cache(p, v);
  else
    store(p, v);
}

MEMCORE_ALWAYS_INLINE Vec splat(float f) { return f - Vec{}; }

typedef uint32_t WordVec __attribute__((vector_size(kLanes * 4)));

// High and low words of a * m. (GCC 12 turns the scalar form into 64-bit multiplications, three times as slow.)
MEMCORE_ALWAYS_INLINE void multiply_wide(WordVec a, uint32_t m, WordVec& high, WordVec& low) {
#if defined(__AVX512F__)
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(m));
  const __m512i even = _mm512_mul_epu32((__m512i)a, factor);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), factor);
  high = (WordVec)_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
  low = (WordVec)_mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA);
#elif defined(__AVX2__)
  const __m256i factor = _mm256_set1_epi32(static_cast<int>(m));
  const __m256i even = _mm256_mul_epu32((__m256i)a, factor);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), factor);
  high = (WordVec)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  low = (WordVec)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
#elif defined(MEMCORE_X86)
  const __m128i factor = _mm_set1_epi32(static_cast<int>(m));
  const __m128i even = _mm_mul_epu32((__m128i)a, factor);
  const __m128i odd = _mm_mul_epu32(_mm_srli_epi64((__m128i)a, 32), factor);
  high = (WordVec)_mm_unpacklo_epi32(_mm_shuffle_epi32(even, 0x0D), _mm_shuffle_epi32(odd, 0x0D));
  low = (WordVec)_mm_unpacklo_epi32(_mm_shuffle_epi32(even, 0x08), _mm_shuffle_epi32(odd, 0x08));
#else
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t product = static_cast<uint64_t>(a[i]) * m;
    high[i] = static_cast<uint32_t>(product >> 32);
    low[i] = static_cast<uint32_t>(product);
  }
#endif
}

// Rounds halves to even, as torch.round does; keeps NaN, infinity and the sign of zero.
MEMCORE_ALWAYS_INLINE Vec round_even(Vec v) {
#if defined(__AVX512F__)
  return (Vec)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (Vec)_mm256_round_ps((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(MEMCORE_X86)
  const IntVec sign = (IntVec)v & INT32_MIN;
  const Vec size = (Vec)((IntVec)v & INT32_MAX);
  const Vec rounded = (Vec)((IntVec)((size + 0x1p23f) - 0x1p23f) | sign);
  return size < 0x1p23f ? rounded : v;
#else
  for (int i = 0; i < kLanes; ++i) v[i] = __builtin_rintf(v[i]);
  return v;
#endif
}

MEMCORE_ALWAYS_INLINE Vec square_roots(Vec v) {
#if defined(__AVX512F__)
  return (Vec)_mm512_sqrt_ps((__m512)v);
#elif defined(__AVX2__)
  return (Vec)_mm256_sqrt_ps((__m256)v);
#elif defined(MEMCORE_X86)
  return (Vec)_mm_sqrt_ps((__m128)v);
#else
  for (int i = 0; i < kLanes; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

// Bounds, of which a NaN of v passes: comparisons are false for it, and instructions then give their second operand.
MEMCORE_ALWAYS_INLINE Vec at_most(Vec v, Vec hi) {
#if defined(__AVX512F__)
  return (Vec)_mm512_min_ps((__m512)hi, (__m512)v);
#elif defined(__AVX2__)
  return (Vec)_mm256_min_ps((__m256)hi, (__m256)v);
#else
  return v > hi ? hi : v;
#endif
}

MEMCORE_ALWAYS_INLINE Vec at_least(Vec v, Vec lo) {
#if defined(__AVX512F__)
  return (Vec)_mm512_max_ps((__m512)lo, (__m512)v);
#elif defined(__AVX2__)
  return (Vec)_mm256_max_ps((__m256)lo, (__m256)v);
#else
  return v < lo ? lo : v;
#endif
}

MEMCORE_ALWAYS_INLINE Vec clamp(Vec v, Vec lo, Vec hi) { return at_most(at_least(v, lo), hi); }

MEMCORE_ALWAYS_INLINE bool any(IntVec mask) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask((__m512i)mask) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps((__m256)mask) != 0;
#else
  int32_t all = 0;
  for (int i = 0; i < kLanes; ++i) all |= mask[i];
  return all != 0;
#endif
}

// One row of a look-up table: four floats, so that a row is one load.
struct alignas(16) Entry {
  float a, b, c, unused;
};

// The first three columns of the rows at byte offsets at[0 .. kLanes-1]. Loads of whole rows and a transposition in
// registers are about three times as fast as gather instructions (measured on Zen 4).
MEMCORE_ALWAYS_INLINE void load_entries(const Entry* table, const uint32_t* at, Vec& a, Vec& b, Vec& c) {
  const auto entry = [&](int i) {
    return reinterpret_cast<const float*>(reinterpret_cast<const char*>(table) + at[i]);
  };
#if defined(__AVX512F__)
  const auto pair = [&](int i, int j) {
    const __m256 low = _mm256_castps128_ps256(_mm_load_ps(entry(i)));
    return _mm256_insertf128_ps(low, _mm_load_ps(entry(j)), 1);
  };
  const auto row = [&](int i) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(pair(i, i + 4)), pair(i + 8, i + 12), 1);
  };
  const __m512 r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
  const __m512 ab0 = _mm512_unpacklo_ps(r0, r1), ab1 = _mm512_unpacklo_ps(r2, r3);
  a = (Vec)_mm512_shuffle_ps(ab0, ab1, 0x44);
  b = (Vec)_mm512_shuffle_ps(ab0, ab1, 0xEE);
  c = (Vec)_mm512_shuffle_ps(_mm512_unpackhi_ps(r0, r1), _mm512_unpackhi_ps(r2, r3), 0x44);
#elif defined(__AVX2__)
  const auto row = [&](int i) {
    const __m256 low = _mm256_castps128_ps256(_mm_load_ps(entry(i)));
    return _mm256_insertf128_ps(low, _mm_load_ps(entry(i + 4)), 1);
  };
  const __m256 r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
  const __m256 ab0 = _mm256_unpacklo_ps(r0, r1), ab1 = _mm256_unpacklo_ps(r2, r3);
  a = (Vec)_mm256_shuffle_ps(ab0, ab1, 0x44);
  b = (Vec)_mm256_shuffle_ps(ab0, ab1, 0xEE);
  c = (Vec)_mm256_shuffle_ps(_mm256_unpackhi_ps(r0, r1), _mm256_unpackhi_ps(r2, r3), 0x44);
#else
  for (int i = 0; i < kLanes; ++i) {
    a[i] = entry(i)[0];
    b[i] = entry(i)[1];
    c[i] = entry(i)[2];
  }
#endif
}

}  // namespace
}  // namespace memcore
