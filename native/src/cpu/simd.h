// Vectors of floats as wide as the instruction set being compiled, with GCC's vector extensions.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
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
MEMCORE_ALWAYS_INLINE Vec splat(float f) { return f - Vec{}; }

// Rounds halves to even, as torch.round does; keeps NaN, infinity and the sign of zero.
MEMCORE_ALWAYS_INLINE Vec round_even(Vec v) {
#if defined(__AVX512F__)
  return (Vec)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (Vec)_mm256_round_ps((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__x86_64__)
  const IntVec sign = (IntVec)v & INT32_MIN;
  const Vec size = (Vec)((IntVec)v & INT32_MAX);
  const Vec rounded = (Vec)((IntVec)((size + 0x1p23f) - 0x1p23f) | sign);
  return size < 0x1p23f ? rounded : v;
#else
  for (int i = 0; i < kLanes; ++i) v[i] = __builtin_rintf(v[i]);
  return v;
#endif
}

// A NaN passes: both comparisons are false for it.
MEMCORE_ALWAYS_INLINE Vec clamp(Vec v, Vec lo, Vec hi) {
  v = v < lo ? lo : v;
  return v > hi ? hi : v;
}

}  // namespace
}  // namespace memcore
