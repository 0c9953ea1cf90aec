// Nearest value on a uniform grid.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
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

template <bool AroundCache>
void quantize_by_one_step(const QuantizeUniform& q, int64_t begin, int64_t end) {
  const Vec step = splat(q.step[0]), lo = splat(q.lo), hi = splat(q.hi);
  for (; begin + kLanes <= end; begin += kLanes)
    put<AroundCache>(q.out + begin, clamp(round_even(load(q.x + begin) / step), lo, hi) * step);
  for (; begin < end; ++begin) q.out[begin] = clamp(round_even(splat(q.x[begin]) / step), lo, hi)[0] * step[0];
  if (AroundCache) finish_stores();
}

inline void quantize_uniform(const QuantizeUniform& q) {
  if (q.cols == 1) {
    const auto run = bypasses_cache(q.out, q.count) ? quantize_by_one_step<true> : quantize_by_one_step<false>;
    parallel_for_units(q.count, kLanes, kQuantizeGrain, [&](int64_t begin, int64_t end) { run(q, begin, end); });
    return;
  }
  parallel_for(q.count / q.cols, ceil_div(kQuantizeGrain, q.cols), [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin) quantize_run(q.x + begin * q.cols, q.cols, q.step, q.lo, q.hi, q.out + begin * q.cols);
  });
}

}  // namespace
}  // namespace memcore
