// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and the transforms to
// uniform and normal numbers, shared by all CPU instruction sets and by CUDA.
//
// Everything is branch-free scalar code, so that compilers vectorise loops over it, and uses +, *, sqrt and
// integer operations only, so that all builds agree to a few ulp (they differ by fused multiply-adds alone).
// All functions have internal linkage: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define MEMCORE_INLINE static __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define MEMCORE_INLINE static inline __attribute__((always_inline))
#else
#define MEMCORE_INLINE static inline
#endif

namespace memcore {
namespace {

constexpr int kPhiloxRounds = 10;
constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53u, kPhiloxMultiplier1 = 0xCD9E8D57u;
constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9u, kPhiloxWeyl1 = 0xBB67AE85u;

struct Block {
  uint32_t w[4];
};

MEMCORE_INLINE uint32_t mul_hi(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32);
}

// The four random words of counter (c0, c1, c2, c3) under key (k0, k1).
MEMCORE_INLINE Block philox4x32(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint32_t h0 = mul_hi(kPhiloxMultiplier0, c0), l0 = kPhiloxMultiplier0 * c0;
    const uint32_t h1 = mul_hi(kPhiloxMultiplier1, c2), l1 = kPhiloxMultiplier1 * c2;
    c0 = h1 ^ c1 ^ k0;
    c1 = l1;
    c2 = h0 ^ c3 ^ k1;
    c3 = l0;
    k0 += kPhiloxWeyl0;
    k1 += kPhiloxWeyl1;
  }
  return Block{{c0, c1, c2, c3}};
}

// The block that holds element e of read r: counter words 0, 1 are e / 4, words 2, 3 are r. Element e is lane e % 4.
MEMCORE_INLINE Block philox_block(uint64_t key, uint64_t quarter, uint64_t read) {
  return philox4x32(static_cast<uint32_t>(quarter), static_cast<uint32_t>(quarter >> 32), static_cast<uint32_t>(read),
                    static_cast<uint32_t>(read >> 32), static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
}

MEMCORE_INLINE float to_uniform(uint32_t x) { return static_cast<float>(static_cast<int32_t>(x >> 8)) * 0x1p-24f; }

MEMCORE_INLINE float bits_to_float(int32_t i) {
#if defined(__CUDA_ARCH__)
  return __int_as_float(i);
#else
  float f;
  __builtin_memcpy(&f, &i, sizeof f);
  return f;
#endif
}

MEMCORE_INLINE int32_t float_to_bits(float f) {
#if defined(__CUDA_ARCH__)
  return __float_as_int(f);
#else
  int32_t i;
  __builtin_memcpy(&i, &f, sizeof i);
  return i;
#endif
}

// The bits of x as a number, less those of sqrt(1/2); of numbers that are not positive, they mean nothing.
MEMCORE_INLINE int32_t bits_above_root_half(float x) {
  return static_cast<int32_t>(static_cast<uint32_t>(float_to_bits(x)) - 0x3F3504F3u);
}

// Natural logarithm of a normal positive float: x = m 2^e with m in [sqrt(1/2), sqrt(2)), and the polynomial of
// Cephes logf (S. Moshier) in m - 1. Error below 2 ulp.
MEMCORE_INLINE float log_positive(float x) {
  const int32_t shifted = bits_above_root_half(x);
  const float e = static_cast<float>(shifted >> 23);
  const float f = bits_to_float((shifted & 0x007FFFFF) + 0x3F3504F3) - 1.0f;
  const float z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  const float tail = p * f * z - 0.5f * z + e * -2.12194440e-4f;
  return e * 0.693359375f + (f + tail);
}

struct Pair {
  float first, second;
};

// cos and sin of 2 pi x 2^-32. The angle is reduced to [-pi/4, pi/4) in integers, hence exactly; minimax
// polynomials of Cephes sinf and cosf. Error below 2 ulp.
MEMCORE_INLINE Pair cos_sin_turn(uint32_t x) {
  const uint32_t quadrant = (x + 0x20000000u) >> 30;
  const int32_t rest = static_cast<int32_t>(x - (quadrant << 30));
  const float a = static_cast<float>(rest) * 1.46291807926715968e-9f;  // 2 pi / 2^32
  const float z = a * a;
  const float s = a + a * z * ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f);
  const float c =
      1.0f - 0.5f * z + z * z * ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f);
  const int32_t swap = -static_cast<int32_t>(quadrant & 1u);  // all ones in quadrants 1 and 3
  const int32_t ic = float_to_bits(c), is = float_to_bits(s);
  const int32_t cos_bits = (ic & ~swap) | (is & swap);
  const int32_t sin_bits = (is & ~swap) | (ic & swap);
  const int32_t cos_sign = static_cast<int32_t>(((quadrant + 1u) & 2u) << 30);
  const int32_t sin_sign = static_cast<int32_t>((quadrant & 2u) << 30);
  return Pair{bits_to_float(cos_bits ^ cos_sign), bits_to_float(sin_bits ^ sin_sign)};
}

MEMCORE_INLINE float square_root(float x) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}

// The sum of the squares of two normals.
MEMCORE_INLINE float to_square(uint32_t even) {
  const float u = static_cast<float>(even) * 0x1p-32f + 0x1p-33f;  // in [2^-33, 1]
  return -2.0f * log_positive(u);
}

// Two normals with this sum, in the direction of a word.
MEMCORE_INLINE Pair from_square(float square, uint32_t odd) {
  const float radius = square_root(square < 0.0f ? 0.0f : square);
  const Pair turn = cos_sin_turn(odd);
  return Pair{radius * turn.first, radius * turn.second};
}

// Box-Muller: two independent standard normals from two words (the even and the odd lane).
MEMCORE_INLINE Pair to_normal(uint32_t even, uint32_t odd) { return from_square(to_square(even), odd); }

}  // namespace
}  // namespace memcore
