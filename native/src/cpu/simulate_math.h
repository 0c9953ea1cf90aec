// Elementary functions of the simulation, for float as branch-free code that compilers vectorise, for double from the
// C library. Errors of the float versions: below 3 ulp, pow below 8 ulp (compared with double precision in the tests).
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/philox.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr float kInfinity = __builtin_inff();
constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;

// Nearest integer of |x| < 2^22 as a float, halves to even.
MEMCORE_ALWAYS_INLINE float nearest(float x) { return (x + 12582912.0f) - 12582912.0f; }

// 2^n for -126 <= n <= 127.
MEMCORE_ALWAYS_INLINE float power_of_two(int32_t n) {
  return bits_to_float(static_cast<int32_t>(static_cast<uint32_t>(n + 127) << 23));
}

// e^r - 1 for |r| <= ln(2) / 2; the polynomial of Cephes expf (S. Moshier).
MEMCORE_ALWAYS_INLINE float expm1_reduced(float r) {
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * (r * r) + r;
}

// NaN becomes lo, so that what is computed from it is an integer.
MEMCORE_ALWAYS_INLINE float bounded(float x, float lo, float hi) {
  x = x > lo ? x : lo;
  return x > hi ? hi : x;
}

// e^(r + n ln 2) from the reduced argument; gradual underflow, overflow to infinity.
MEMCORE_ALWAYS_INLINE float scaled_exp(float r, float n) {
  const int32_t k = static_cast<int32_t>(n), half = k >> 1;
  return (expm1_reduced(r) + 1.0f) * power_of_two(half) * power_of_two(k - half);
}

MEMCORE_ALWAYS_INLINE float exp_(float x) {
  const float b = bounded(x, -110.0f, 90.0f);
  const float n = nearest(b * 1.44269504f);
  return x != x ? x : scaled_exp((b - n * kLn2High) - n * kLn2Low, n);
}

// (e^x - 1) / 2, which stays finite up to x = 89.4 so that sinh and cosh do.
MEMCORE_ALWAYS_INLINE float half_expm1(float x) {
  const float b = bounded(x, -40.0f, 90.0f);
  const float n = nearest(b * 1.44269504f);
  const float p = expm1_reduced((b - n * kLn2High) - n * kLn2Low);
  const int32_t k = static_cast<int32_t>(n) - 1, part = k >> 1;
  const float one = power_of_two(part), two = power_of_two(k - part);
  const float large = (p * one + one) * two, exact = (p * one) * two + (one * two - 0.5f);
  return x != x ? x : (k > 30 ? large : exact);
}

MEMCORE_ALWAYS_INLINE float expm1_(float x) { return 2.0f * half_expm1(x); }

MEMCORE_ALWAYS_INLINE float log_(float x) {
  const bool small = x < 0x1p-126f;
  const float normal = log_positive(small ? x * 0x1p24f : x) - (small ? 16.6355323f : 0.0f);
  const float finite = x > 0.0f ? normal : (x == 0.0f ? -kInfinity : __builtin_nanf(""));
  return x < kInfinity ? finite : x;  // infinity and NaN
}

MEMCORE_ALWAYS_INLINE float log1p_(float x) {
  const float u = 1.0f + x;
  const float lost = (x - (u - 1.0f)) / u;
  return log_(u) + ((u > 0.0f && u < kInfinity) ? lost : 0.0f);
}

// x^y; the product y ln x and its reduction are in double precision and lose nothing.
MEMCORE_ALWAYS_INLINE float pow_(float x, float y) {
  const float size = x < 0.0f ? -x : x;
  const bool small = size < 0x1p-126f;
  const float scaled = small ? size * 0x1p24f : size;
  const int32_t shifted = bits_above_root_half(scaled);
  const float e = static_cast<float>(shifted >> 23) - (small ? 24.0f : 0.0f);
  const float m = bits_to_float((shifted & 0x007FFFFF) + 0x3F3504F3);
  const double logarithm = static_cast<double>(e) * 0.69314718055994531 + static_cast<double>(log_positive(m));
  const double product = static_cast<double>(y) * logarithm;
  const double limited = product > -110.0 ? (product > 90.0 ? 90.0 : product) : -110.0;
  const float n = nearest(static_cast<float>(limited) * 1.44269504f);
  const float r = static_cast<float>(limited - static_cast<double>(n) * 0.69314718055994531);
  float result = scaled_exp(r, n);
  result = size == 0.0f ? (y > 0.0f ? 0.0f : kInfinity) : result;
  result = size == kInfinity ? (y > 0.0f ? kInfinity : 0.0f) : result;
  const float whole = __builtin_truncf(y), halved = __builtin_truncf(y * 0.5f) * 2.0f;
  const float broken = (size == kInfinity || size == 0.0f) ? result : __builtin_nanf("");
  const float negative = whole == y ? (halved == y ? result : -result) : broken;
  result = float_to_bits(x) < 0 ? negative : result;
  result = (x != x || y != y) ? x + y : result;
  const bool one = x == 1.0f || (x == -1.0f && y - y != 0.0f && y == y);
  return (y == 0.0f || one) ? 1.0f : result;
}

MEMCORE_ALWAYS_INLINE float signed_as(float size, float x) {
  return bits_to_float((float_to_bits(size) & INT32_MAX) | (float_to_bits(x) & INT32_MIN));
}

MEMCORE_ALWAYS_INLINE float sinh_(float x) {
  const float size = x < 0.0f ? -x : x;
  const float half = half_expm1(size);
  return signed_as(size > 44.0f ? half : half + half / (2.0f * half + 1.0f), x);
}

MEMCORE_ALWAYS_INLINE float cosh_(float x) {
  const float half = half_expm1(x < 0.0f ? -x : x) + 0.5f;
  return half + 0.25f / half;
}

MEMCORE_ALWAYS_INLINE float tanh_(float x) {
  const float size = x < 0.0f ? -x : x;
  const float half = half_expm1(size > 15.0f ? 30.0f : 2.0f * size);
  return x != x ? x : signed_as(half / (half + 1.0f), x);
}

MEMCORE_ALWAYS_INLINE float asinh_(float x) {
  const float size = x < 0.0f ? -x : x;
  const float square = size * size;
  const float near = log1p_(size + square / (1.0f + __builtin_sqrtf(1.0f + square)));
  const float far = log_(size) + 0.693147181f;
  return x != x ? x : signed_as(size < 1e9f ? near : far, x);
}

MEMCORE_ALWAYS_INLINE float sqrt_(float x) { return __builtin_sqrtf(x); }
MEMCORE_ALWAYS_INLINE float abs_(float x) { return __builtin_fabsf(x); }
MEMCORE_ALWAYS_INLINE float sin_(float x) { return __builtin_sinf(x); }
MEMCORE_ALWAYS_INLINE float cos_(float x) { return __builtin_cosf(x); }
MEMCORE_ALWAYS_INLINE float atan_(float x) { return __builtin_atanf(x); }
MEMCORE_ALWAYS_INLINE float erf_(float x) { return __builtin_erff(x); }
MEMCORE_ALWAYS_INLINE float floor_(float x) { return __builtin_floorf(x); }
MEMCORE_ALWAYS_INLINE float ceil_(float x) { return __builtin_ceilf(x); }
MEMCORE_ALWAYS_INLINE float round_(float x) { return __builtin_rintf(x); }
MEMCORE_ALWAYS_INLINE float trunc_(float x) { return __builtin_truncf(x); }

MEMCORE_ALWAYS_INLINE double exp_(double x) { return __builtin_exp(x); }
MEMCORE_ALWAYS_INLINE double expm1_(double x) { return __builtin_expm1(x); }
MEMCORE_ALWAYS_INLINE double log_(double x) { return __builtin_log(x); }
MEMCORE_ALWAYS_INLINE double log1p_(double x) { return __builtin_log1p(x); }
MEMCORE_ALWAYS_INLINE double pow_(double x, double y) { return __builtin_pow(x, y); }
MEMCORE_ALWAYS_INLINE double sinh_(double x) { return __builtin_sinh(x); }
MEMCORE_ALWAYS_INLINE double cosh_(double x) { return __builtin_cosh(x); }
MEMCORE_ALWAYS_INLINE double tanh_(double x) { return __builtin_tanh(x); }
MEMCORE_ALWAYS_INLINE double asinh_(double x) { return __builtin_asinh(x); }
MEMCORE_ALWAYS_INLINE double sqrt_(double x) { return __builtin_sqrt(x); }
MEMCORE_ALWAYS_INLINE double abs_(double x) { return __builtin_fabs(x); }
MEMCORE_ALWAYS_INLINE double sin_(double x) { return __builtin_sin(x); }
MEMCORE_ALWAYS_INLINE double cos_(double x) { return __builtin_cos(x); }
MEMCORE_ALWAYS_INLINE double atan_(double x) { return __builtin_atan(x); }
MEMCORE_ALWAYS_INLINE double erf_(double x) { return __builtin_erf(x); }
MEMCORE_ALWAYS_INLINE double floor_(double x) { return __builtin_floor(x); }
MEMCORE_ALWAYS_INLINE double ceil_(double x) { return __builtin_ceil(x); }
MEMCORE_ALWAYS_INLINE double round_(double x) { return __builtin_rint(x); }
MEMCORE_ALWAYS_INLINE double trunc_(double x) { return __builtin_trunc(x); }

}  // namespace
}  // namespace memcore
