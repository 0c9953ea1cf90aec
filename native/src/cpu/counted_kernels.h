// Products of lines as whole numbers of pulses, vector after vector, on squares of weights that stay in a cache.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "cells_kernels.h"
#include "memcore/pulses.h"
#include "memory.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kSide = 64;     // weights of a square, and vectors that it takes together
constexpr int64_t kTogether = 4;  // outputs in registers

MEMCORE_ALWAYS_INLINE Vec magnitude(Vec v) { return (Vec)((IntVec)v & INT32_MAX); }

// Towards zero, as torch.trunc does; keeps infinity and the sign of zero.
MEMCORE_ALWAYS_INLINE Vec truncate(Vec v) {
#if defined(__AVX512F__)
  return (Vec)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (Vec)_mm256_round_ps((__m256)v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
#else
  const IntVec sign = (IntVec)v & INT32_MIN;
  const Vec size = magnitude(v), small = size < 0x1p23f ? size : Vec{};
  const Vec whole = __builtin_convertvector(__builtin_convertvector(small, IntVec), Vec);
  return size < 0x1p23f ? (Vec)((IntVec)whole | sign) : v;
#endif
}

MEMCORE_ALWAYS_INLINE bool is_any_set(IntVec lanes) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)lanes, (__m512i)lanes) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_ps((__m256)lanes) != 0;
#elif defined(MEMCORE_X86)
  return _mm_movemask_ps((__m128)lanes) != 0;
#else
  int32_t any = 0;
  for (int i = 0; i < kLanes; ++i) any |= lanes[i];
  return any != 0;
#endif
}

// Some outputs and inputs of a group.
struct Square {
  int64_t group, out, in, outs, ins;

  Square(const CountedProducts& c, int64_t task) {
    const int64_t across = ceil_div(c.inputs, kSide), down = ceil_div(c.outputs, kSide);
    in = task % across * kSide, out = task / across % down * kSide, group = task / (across * down);
    outs = smaller(kSide, c.outputs - out), ins = smaller(kSide, c.inputs - in);
  }
  static int64_t count(const CountedProducts& c) {
    return c.groups * ceil_div(c.outputs, kSide) * ceil_div(c.inputs, kSide);
  }
};

// What a square is worked on with, [kSide, kSide] each, filled up with zeros.
struct SquareWork {
  static constexpr int64_t kSize = kSide * kSide;
  Memory<float> memory;
  float *const carry, *const up, *const down, *const rows, *const cols, *const most;  // most: [kSide, kLanes]

  SquareWork()
      : memory(5 * kSize + kSide * kLanes),
        carry(memory.data),
        up(carry + kSize),
        down(up + kSize),
        rows(down + kSize),
        cols(rows + kSize),
        most(cols + kSize) {}
};

// `count` numbers of each of some lines, `distance` apart.
inline void take_lines(const float* from, int64_t distance, int64_t lines, int64_t count, float* to) {
  for (int64_t line = 0; line < kSide; ++line, to += kSide) {
    const int64_t own = line < lines ? count : 0;
    if (own > 0) __builtin_memcpy(to, from + line * distance, static_cast<unsigned long>(own) * sizeof(float));
    for (int64_t j = own; j < kSide; ++j) to[j] = 0.0f;
  }
}

inline void raise_to(const float* values, int64_t count, int64_t distance, float& most) {
  for (int64_t k = 0; k < count; ++k) most = values[k * distance] > most ? values[k * distance] : most;
}

// What some vectors ask of a square.
template <bool Carries>
void count_square(const Square& q, const SquareWork& work, int64_t vectors) {
  for (int64_t o = 0; o < q.outs; o += kTogether)
    for (int64_t i = 0; i < q.ins; i += kLanes) {
      const int64_t first = o * kSide + i;
      Vec carry[kTogether], up[kTogether], down[kTogether];
      for (int64_t r = 0; r < kTogether; ++r) {
        carry[r] = load(work.carry + first + r * kSide);
        up[r] = load(work.up + first + r * kSide);
        down[r] = load(work.down + first + r * kSide);
      }
      for (int64_t s = 0; s < vectors; ++s) {
        const Vec row = load(work.rows + s * kSide + i);
        Vec left[kTogether], largest = {};
#pragma GCC unroll 4
        for (int64_t r = 0; r < kTogether; ++r) {
          const Vec product = row * splat(work.cols[s * kSide + o + r]);
          left[r] = Carries ? carry[r] - product : -product;
          const Vec size = magnitude(left[r]);
          largest = size > largest ? size : largest;
        }
        // Most vectors ask for no pulse here.
        if (!is_any_set(Carries ? largest >= 1.0f : largest > 0.5f)) {
#pragma GCC unroll 4
          for (int64_t r = 0; Carries && r < kTogether; ++r) carry[r] = left[r];
          continue;
        }
        Vec most = load(work.most + s * kLanes);
#pragma GCC unroll 4
        for (int64_t r = 0; r < kTogether; ++r) {
          const Vec whole = Carries ? truncate(left[r]) : round_even(left[r]);
          if (Carries) carry[r] = left[r] - whole;
          const Vec above = whole > 0.0f ? whole : Vec{}, below = whole < 0.0f ? -whole : Vec{};
          up[r] += above;
          down[r] += below;
          const Vec size = above + below;
          most = size > most ? size : most;
        }
        store(work.most + s * kLanes, most);
      }
      for (int64_t r = 0; r < kTogether; ++r) {
        store(work.carry + first + r * kSide, carry[r]);
        store(work.up + first + r * kSide, up[r]);
        store(work.down + first + r * kSide, down[r]);
      }
    }
}

// All vectors of one square, and the most that each of them asks of a weight in it.
inline void count_task(const CountedProducts& c, const Square& q, const SquareWork& work, float* most) {
  float* const carry = c.carry == nullptr ? nullptr : c.carry + (q.group * c.outputs + q.out) * c.inputs + q.in;
  take_lines(carry, c.inputs, carry == nullptr ? 0 : q.outs, q.ins, work.carry);
  for (int64_t k = 0; k < SquareWork::kSize; ++k) work.up[k] = work.down[k] = 0.0f;
  for (int64_t first = 0; first < c.n; first += kSide) {
    const int64_t vectors = smaller(kSide, c.n - first), at = first * c.groups + q.group;
    take_lines(c.rows + at * c.inputs + q.in, c.groups * c.inputs, vectors, q.ins, work.rows);
    take_lines(c.cols + at * c.outputs + q.out, c.groups * c.outputs, vectors, q.outs, work.cols);
    for (int64_t k = 0; k < kSide * kLanes; ++k) work.most[k] = 0.0f;
    if (carry == nullptr)
      count_square<false>(q, work, vectors);
    else
      count_square<true>(q, work, vectors);
    for (int64_t s = 0; s < vectors; ++s) {
      most[first + s] = 0.0f;
      raise_to(work.most + s * kLanes, kLanes, 1, most[first + s]);
    }
  }
  for (int64_t o = 0; carry != nullptr && o < q.outs; ++o)
    for (int64_t i = 0; i < q.ins; ++i) carry[o * c.inputs + i] = work.carry[o * kSide + i];
  const int64_t to = (q.group * c.inputs + q.in) * c.outputs + q.out;
  transpose<false>(work.up, kSide, q.outs, q.ins, c.up + to, c.outputs);
  transpose<false>(work.down, kSide, q.outs, q.ins, c.down + to, c.outputs);
}

inline void counted_products(const CountedProducts& c) {
  const int64_t tasks = Square::count(c);
  const Memory<float> most(tasks * c.n);
  parallel_for(tasks, 1, [&](int64_t begin, int64_t end) {
    const SquareWork work;
    for (int64_t task = begin; task < end; ++task) count_task(c, Square(c, task), work, most.data + task * c.n);
  });
  c.slots[0] = 0.0;
  for (int64_t s = 0; s < c.n; ++s) {
    float of_vector = 0.0f;
    raise_to(most.data + s, tasks, c.n, of_vector);
    c.slots[0] += static_cast<double>(of_vector);
  }
}

}  // namespace
}  // namespace memcore
