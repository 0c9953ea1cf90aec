// Nearest value on a uniform grid, and nearest of a table of levels.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "isa.h"
#include "memcore/kernels.h"
#include "memcore/levels.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kQuantizeGrain = 32 * 1024;

inline void quantize_run(const float* x, int64_t count, const float* step, float lo, float hi, float* out) {
  const Vec vlo = splat(lo), vhi = splat(hi);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec s = load(step + i);
    store(out + i, clamp(round_even(load(x + i) / s), vlo, vhi) * s);
  }
  for (; i < count; ++i) out[i] = clamp(round_even(splat(x[i] / step[i])), vlo, vhi)[0] * step[i];
}

inline void quantize_by_one_step(const QuantizeUniform& q) {
  parallel_for(q.count, kQuantizeGrain, [&](int64_t begin, int64_t end) {
    const Vec step = splat(q.step[0]), lo = splat(q.lo), hi = splat(q.hi);
    for (; begin + kLanes <= end; begin += kLanes)
      store(q.out + begin, clamp(round_even(load(q.x + begin) / step), lo, hi) * step);
    for (; begin < end; ++begin)
      q.out[begin] = clamp(round_even(splat(q.x[begin]) / step), lo, hi)[0] * step[0];
  });
}

inline void quantize_uniform(const QuantizeUniform& q) {
  if (q.cols == 1) return quantize_by_one_step(q);
  parallel_for(q.count / q.cols, ceil_div(kQuantizeGrain, q.cols), [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin)
      quantize_run(q.x + begin * q.cols, q.cols, q.step, q.lo, q.hi, q.out + begin * q.cols);
  });
}

// Number of middles below x, which is the index of the level nearest to x.
inline int64_t count_below(const float* middles, int64_t n, int64_t stride, float x) {
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t probe = (low + high) / 2;
    if (x > middles[probe * stride])
      low = probe + 1;
    else
      high = probe;
  }
  return low;
}

inline void quantize_levels(const QuantizeLevels& q) {
  float* const middles = allocate(q.cols * q.n_levels);
  for (int64_t c = 0; c < q.cols; ++c)
    for (int64_t i = 0; i + 1 < q.n_levels; ++i)
      middles[c * q.n_levels + i] = lower_middle(q.levels[c * q.n_levels + i], q.levels[c * q.n_levels + i + 1]);
  parallel_for(q.count, kQuantizeGrain, [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin) {
      const float x = q.x[begin];
      const int64_t c = begin % q.cols * q.n_levels;
      q.out[begin] = x != x ? x : q.levels[c + count_below(middles + c, q.n_levels - 1, 1, x)];
    }
  });
  release(middles);
}

}  // namespace
}  // namespace memcore
