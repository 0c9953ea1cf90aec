// Sums of squares of what drives word lines, each with a weight of its own.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/tables.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kSquaresGrain = 256 * 1024;  // inputs of a task, about 20 us
constexpr int64_t kSquaresParts = 64;          // tasks at most; their number never depends on the threads
constexpr int64_t kSquaresCols = 2048;         // of which single precision has the sums: 64 numbers a lane at most
constexpr int kSquaresVecs = 4;                // in flight

// As clamp in simd.h but for NaN, which becomes the lowest.
MEMCORE_ALWAYS_INLINE Vec between(Vec v, Vec lo, Vec hi) {
#if defined(__AVX512F__)
  return (Vec)_mm512_min_ps(_mm512_max_ps((__m512)v, (__m512)lo), (__m512)hi);
#elif defined(__AVX2__)
  return (Vec)_mm256_min_ps(_mm256_max_ps((__m256)v, (__m256)lo), (__m256)hi);
#else
  return clamp(v, lo, hi);
#endif
}

template <bool Coded>
MEMCORE_ALWAYS_INLINE Vec square(const WeightedSquares& s, Vec x) {
  const Vec z = Coded ? between(round_even(x * splat(s.inverse)), splat(s.lo), splat(s.hi)) : x;
  return z * z;
}

// Of inputs 0 .. count-1 of one row, which lie one after another.
template <bool Coded>
double squares_of_run(const WeightedSquares& s, const float* x, const float* weights, int64_t count) {
  Vec sums[kSquaresVecs] = {};
  int64_t k = 0;
  for (; k + kSquaresVecs * kLanes <= count; k += kSquaresVecs * kLanes)
#pragma GCC unroll 4
    for (int v = 0; v < kSquaresVecs; ++v) {
      const int64_t at = k + v * kLanes;
      sums[v] += square<Coded>(s, load(x + at)) * load(weights + at);
    }
  double total = 0.0;
  for (; k < count; ++k) total += static_cast<double>(square<Coded>(s, splat(x[k]))[0] * weights[k]);
  const Vec all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  for (int i = 0; i < kLanes; ++i) total += static_cast<double>(all[i]);
  return total;
}

template <bool Coded>
double squares_of_rows(const WeightedSquares& s, int64_t first, int64_t last) {
  double total = 0.0;
  for (int64_t k = 0; k < s.size; k += kSquaresCols)
    for (int64_t i = first; i < last; ++i)
      total += squares_of_run<Coded>(s, s.x + i * s.size + k, s.weights + k, smaller(kSquaresCols, s.size - k));
  return total;
}

inline double weighted_squares(const WeightedSquares& s) {
  double sums[kSquaresParts];
  const auto of_rows = s.hi < s.lo ? squares_of_rows<false> : squares_of_rows<true>;
  const int64_t parts = larger(1, smaller(smaller(kSquaresParts, s.n), s.n * s.size / kSquaresGrain));
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part)
      sums[part] = of_rows(s, s.n * part / parts, s.n * (part + 1) / parts);
  });
  double total = 0.0;
  for (int64_t part = 0; part < parts; ++part) total += sums[part];
  return total;
}

}  // namespace
}  // namespace memcore
