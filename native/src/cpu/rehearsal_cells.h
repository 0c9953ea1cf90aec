// Cells in the order of the weights: drawn and written, 256 of them at a time.
//
// What is done to a cell is done in registers, step by step. Pairs of cells whose last step has equidistant states come
// to whole numbers of such states, their levels; others to what they stand for. Internal linkage throughout: this
// header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/rehearsal.h"
#include "memory.h"
#include "parallel.h"
#include "philox_kernels.h"
#include "simd.h"
#include "simulate_math.h"

namespace memcore {
namespace {

constexpr int64_t kSegment = 4 * kBatch;   // cells that are written together, from a multiple of it on
constexpr int32_t kExponent = 0x7F800000;  // whose bits are all set in what is not finite
constexpr float kLogE = 1.44269504f;       // to the base of 2

// No normal number of to_normal is larger: sqrt(2 ln 2^33).
constexpr float kLargestNormal = 6.77f;

// What a segment is made of, and what comes of it.
struct Segment {
  alignas(64) float weight[kSegment], slope[kSegment], gain[kSegment];  // gain: of a level, if there are any, or of 1 S
  alignas(64) float pairs[kSegment], variance[kSegment];  // levels of pairs, if they have any, or what they stand for
};

// 2^x of |x| < 125, with the polynomial of Cephes exp2f (S. Moshier) for the rest r of it in [-1/2, 1/2]. Error below 2
// ulp.
MEMCORE_ALWAYS_INLINE Vec power_of_two(Vec x) {
  const Vec b = clamp(x, splat(-125.0f), splat(126.0f)), n = round_even(b), r = b - n;
  Vec p = splat(1.535336188319500e-4f);
  p = p * r + 1.339887440266574e-3f;
  p = p * r + 9.618437357674640e-3f;
  p = p * r + 5.550332471162809e-2f;
  p = p * r + 2.402264791363012e-1f;
  p = p * r + 6.931472028550421e-1f;
  p = p * r + 1.0f;
  return (Vec)((IntVec)p + (__builtin_convertvector(n, IntVec) << 23));
}

constexpr int kVecs = 8;  // whose cells are changed together: one alone waits for each operation

// Conductances of some cells, or what is drawn for them.
struct Cells {
  Vec v[kVecs];
};

// Of each cell what a change makes of its conductance and its draw.
template <class Change>
MEMCORE_ALWAYS_INLINE void change_cells(const float* z, Cells& g, const Change& change) {
#pragma GCC unroll 8
  for (int i = 0; i < kVecs; ++i) g.v[i] = change(g.v[i], load(z + i * kLanes));
}

// The numbers of the nearest levels.
template <bool Inverse>
MEMCORE_ALWAYS_INLINE Cells levels_nearest(const CellStep& step, const Cells& g) {
  const float steps = step.a == 0.0f ? 0.0f : step.b / step.a;
  const Vec none = splat(0.0f), most = splat(step.b);
  Cells levels;
#pragma GCC unroll 8
  for (int i = 0; i < kVecs; ++i) {
    const Vec position = ((Inverse ? 1.0f / g.v[i] : g.v[i]) - step.low) * steps;
    levels.v[i] = round_even(clamp(position, none, most));
  }
  return levels;
}

template <bool Inverse>
MEMCORE_ALWAYS_INLINE void take(const CellStep& step, const Cells& levels, Cells& g) {
  const float width = step.a / step.b;
#pragma GCC unroll 8
  for (int i = 0; i < kVecs; ++i) {
    const Vec level = levels.v[i] * width + step.low;
    g.v[i] = Inverse ? 1.0f / level : level;
  }
}

// What the first steps make of conductances; the draws of a step are kSegment floats behind those of the one before.
MEMCORE_ALWAYS_INLINE void follow(const RehearsedCells& c, int64_t steps, const float* z, Cells& g) {
  for (int64_t k = 0; k < steps; ++k, z += kSegment) {
    const CellStep& s = c.step[k];
    const Vec least = splat(s.least), most = splat(s.most);
    if (s.kind == CellStep::kLogFactor)
      change_cells(z, g, [&](Vec g, Vec z) { return g * clamp(power_of_two(z * (s.a * kLogE)) * s.b, least, most); });
    else if (s.kind == CellStep::kFactor)
      change_cells(z, g, [&](Vec g, Vec z) { return g * clamp(z * s.a + s.b, least, most); });
    else if (s.kind == CellStep::kOffset)
      change_cells(z, g, [&](Vec g, Vec z) { return clamp(g + (z * s.a + s.b), least, most); });
    else if (s.kind == CellStep::kNearest)
      take<false>(s, levels_nearest<false>(s, g), g);
    else
      take<true>(s, levels_nearest<true>(s, g), g);
  }
}

// Levels of pairs of cells, whole numbers up to `most` of either sign; width 0: there are none.
struct Levels {
  float width, most;
};

inline Levels levels_of(const RehearsedRead& r) {
  const RehearsedCells& c = r.cells;
  if (c.weight == nullptr) return {r.width, r.levels};
  if (c.steps == 0) return {0.0f, 0.0f};
  const CellStep& last = c.step[c.steps - 1];
  if (last.kind != CellStep::kNearest || last.a == 0.0f || last.b < 1.0f) return {0.0f, 0.0f};
  return {last.a / last.b, last.b};
}

// The ends between which something lies.
struct Ends {
  float low, high;
};

inline Ends ends_of_draw(const CellStep& s) {
  const float low = s.low > -kLargestNormal ? s.low : -kLargestNormal;
  const float high = s.high < kLargestNormal ? s.high : kLargestNormal;
  return s.a < 0.0f ? Ends{s.a * high, s.a * low} : Ends{s.a * low, s.a * high};
}

// Both ends take the same level, if none is near a border; else they stay, which allows for more.
inline Ends nearest_ends(const CellStep& s, Ends g) {
  const bool inverse = s.kind == CellStep::kNearestInverse;
  const float steps = s.a == 0.0f ? 0.0f : s.b / s.a;
  const float low = bounded(((inverse ? 1.0f / g.high : g.low) - s.low) * steps, 0.0f, s.b);
  const float high = bounded(((inverse ? 1.0f / g.low : g.high) - s.low) * steps, 0.0f, s.b);
  const float middle = nearest(0.5f * (low + high)), margin = 0.499f;
  if (!(low > middle - margin && high < middle + margin)) return {0.0f, kInfinity};
  const float level = middle * (s.a / s.b) + s.low, g_level = inverse ? 1.0f / level : level;
  return {g_level, g_level};
}

// Whether a cell that carries nothing ends up the same whatever is drawn for it.
inline bool is_settled(const RehearsedCells& c) {
  Ends g{c.start, c.start};
  for (int64_t k = 0; k < c.steps; ++k) {
    const CellStep& s = c.step[k];
    if (s.kind >= CellStep::kNearest) {
      g = nearest_ends(s, g);
      continue;
    }
    const Ends z = ends_of_draw(s);
    if (s.kind == CellStep::kOffset) {
      g = {bounded(g.low + z.low + s.b, s.least, s.most), bounded(g.high + z.high + s.b, s.least, s.most)};
      continue;
    }
    const bool is_log = s.kind == CellStep::kLogFactor;
    const float low = bounded(is_log ? exp_(z.low) * s.b : z.low + s.b, s.least, s.most);
    const float high = bounded(is_log ? exp_(z.high) * s.b : z.high + s.b, s.least, s.most);
    g = {(low < 0.0f ? g.high : g.low) * low, (high < 0.0f ? g.low : g.high) * high};
  }
  return g.low == g.high;
}

// How an output's weights become conductances, and these steps of the ADC. `pair` is the weight for the number of a
// pair, and `current` the steps of the ADC for it and a code of 1.
struct Units {
  float slope, gain, factor, square, scale, pair, current;
};

inline Units units_of(const RehearsedRead& r, int64_t output) {
  const RehearsedCells& c = r.cells;
  const float scale = c.scale[c.scale_size == 1 ? 0 : output], gain = scale / c.span;
  const float step = r.adc.step == nullptr ? 1.0f : *r.adc.step * (gain / r.volts);
  const float factor = (r.dac.step == nullptr ? 1.0f : *r.dac.step) / step, deviation = gain * factor;
  const float width = levels_of(r).width, pair = width == 0.0f ? 1.0f : gain * width;
  return {c.span / scale, gain, factor, deviation * deviation, step, pair, pair * factor};
}

// Numbers of lanes 0 .. 3 one after another.
inline void interleave(const Numbers<float>& numbers, float* out) {
#if defined(__AVX512F__)
  for (int i = 0; i < kBatch; i += kLanes, out += 4 * kLanes) {
    const __m512 a = _mm512_load_ps(&numbers.v[0][i]), b = _mm512_load_ps(&numbers.v[1][i]);
    const __m512 c = _mm512_load_ps(&numbers.v[2][i]), d = _mm512_load_ps(&numbers.v[3][i]);
    const __m512 ab0 = _mm512_unpacklo_ps(a, b), ab1 = _mm512_unpackhi_ps(a, b);
    const __m512 cd0 = _mm512_unpacklo_ps(c, d), cd1 = _mm512_unpackhi_ps(c, d);
    const __m512 r0 = _mm512_shuffle_ps(ab0, cd0, 0x44), r1 = _mm512_shuffle_ps(ab0, cd0, 0xEE);
    const __m512 r2 = _mm512_shuffle_ps(ab1, cd1, 0x44), r3 = _mm512_shuffle_ps(ab1, cd1, 0xEE);
    const __m512 low0 = _mm512_shuffle_f32x4(r0, r1, 0x44), low1 = _mm512_shuffle_f32x4(r2, r3, 0x44);
    const __m512 high0 = _mm512_shuffle_f32x4(r0, r1, 0xEE), high1 = _mm512_shuffle_f32x4(r2, r3, 0xEE);
    _mm512_storeu_ps(out, _mm512_shuffle_f32x4(low0, low1, 0x88));
    _mm512_storeu_ps(out + 16, _mm512_shuffle_f32x4(low0, low1, 0xDD));
    _mm512_storeu_ps(out + 32, _mm512_shuffle_f32x4(high0, high1, 0x88));
    _mm512_storeu_ps(out + 48, _mm512_shuffle_f32x4(high0, high1, 0xDD));
  }
#else
  for (int i = 0; i < kBatch; ++i)
    for (int lane = 0; lane < 4; ++lane) out[4 * i + lane] = numbers.v[lane][i];
#endif
}

// The normal numbers of elements first .. first + kSegment - 1 of read 0; first is a multiple of kSegment.
inline void draw_segment(uint64_t key, int64_t first, float* out) {
  Words words;
  Numbers<float> numbers;
  const uint64_t quarter = static_cast<uint64_t>(first) / 4;
  for (int i = 0; i < kBatch; ++i) {
    words.w[0][i] = static_cast<uint32_t>(quarter) + static_cast<uint32_t>(i);  // 64 blocks never carry
    words.w[1][i] = static_cast<uint32_t>(quarter >> 32);
    words.w[2][i] = words.w[3][i] = 0;
  }
  scramble(key, words);
  Normal{}(words, numbers);
  interleave(numbers, out);
}

// Replaces what lies outside the bounds by the next number of the same element that does not.
inline void draw_again(uint64_t key, int64_t first, const CellStep& step, float* z) {
  for (int64_t i = 0; i < kSegment; ++i) {
    const uint64_t element = static_cast<uint64_t>(first + i);
    for (uint64_t round = 1; z[i] < step.low || z[i] > step.high; ++round) {
      const Block block = philox_block(key, element / 4, round);
      const int pair = static_cast<int>(element & 2);
      const Pair both = to_normal(block.w[pair], block.w[pair + 1]);
      z[i] = (element & 1) == 0 ? both.first : both.second;
    }
  }
}

// The draws of all steps, for the cells that carry weights or for the others.
inline void draw_steps(const RehearsedCells& c, int other, int64_t first, float* z) {
  for (int64_t k = 0; k < c.steps; ++k, z += kSegment) {
    const CellStep& step = c.step[k];
    if (step.kind >= CellStep::kNearest) continue;
    draw_segment(step.key[other], first, z);
    if (step.low <= -kLargestNormal && step.high >= kLargestNormal) continue;
    int32_t outside = 0;
    for (int64_t i = 0; i < kSegment; ++i) outside |= static_cast<int32_t>((z[i] < step.low) | (z[i] > step.high));
    if (outside != 0) draw_again(step.key[other], first, step, z);
  }
}

// What pairs of cells come to.
struct Pairs {
  Cells one, other;     // conductances
  Cells first, second;  // levels
};

// The conductances that the steps make of those of a pair, or of the first one if the other one is settled, and their
// levels if they have any.
template <bool HasLevels>
MEMCORE_ALWAYS_INLINE void settle(const RehearsedCells& c, const float* z, const float* others, bool settled,
                                  Pairs& pairs) {
  const int64_t steps = HasLevels ? c.steps - 1 : c.steps;
  follow(c, steps, z, pairs.one);
  if (HasLevels) {
    pairs.first = levels_nearest<false>(c.step[steps], pairs.one);
    take<false>(c.step[steps], pairs.first, pairs.one);
  }
  if (settled) return;
  follow(c, steps, others, pairs.other);
  if (HasLevels) {
    pairs.second = levels_nearest<false>(c.step[steps], pairs.other);
    take<false>(c.step[steps], pairs.second, pairs.other);
  }
}

// Numbers of pairs and variances of a segment whose draws are there; `rest` is where other cells begin, or what they
// are if they are settled. Whether all that pairs stand for is finite.
template <bool HasLevels>
inline bool combine(const RehearsedCells& c, const float* z, const float* others, bool settled, const Pairs& rest,
                    Segment& s) {
  const Vec start = splat(c.start), most = splat(c.most), highest = splat(c.highest),
            constant = splat(2.0f * c.constant);
  IntVec spoilt = {};
  for (int64_t i = 0; i < kSegment; i += kVecs * kLanes) {
    Pairs pairs = rest;
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      const Vec w = load(s.weight + i + v * kLanes), size = w < 0.0f ? -w : w;
      pairs.one.v[v] = at_most(at_most(size * load(s.slope + i + v * kLanes), most) + start, highest);
    }
    settle<HasLevels>(c, z + i, others + i, settled, pairs);
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      const int64_t at = i + v * kLanes;
      const Vec w = load(s.weight + at), gain = load(s.gain + at), one = pairs.one.v[v], other = pairs.other.v[v];
      const Vec net = HasLevels ? pairs.first.v[v] - pairs.second.v[v] : (one - other) * gain;
      store(s.pairs + at, w < 0.0f ? -net : net);
      spoilt |= ((IntVec)(HasLevels ? net * gain : net) & kExponent) == kExponent;
      const Vec here = one * c.relative, there = other * c.relative;
      store(s.variance + at, here * here + (there * there + constant));
    }
  }
  return !any(spoilt);
}

// Slopes and gains of cells first .. first + count - 1.
template <bool HasLevels>
void lay_out_units(const RehearsedRead& r, int64_t first, int64_t count, float* slope, float* gain) {
  const RehearsedCells& c = r.cells;
  for (int64_t i = 0; i < count;) {
    const int64_t row = (first + i) / c.inputs, end = smaller(count, (row + 1) * c.inputs - first);
    const Units units = units_of(r, row % c.outputs);
    for (; i < end; ++i) {
      slope[i] = units.slope;
      gain[i] = HasLevels ? units.pair : units.gain;
    }
  }
}

// Where other cells begin, or what they are if they are settled.
template <bool HasLevels>
inline Pairs rest_of(const RehearsedCells& c, bool settled) {
  Pairs rest = {};
  for (Vec& g : rest.other.v) g = splat(c.start);
  if (!settled) return rest;
  const Memory<float> draws(c.steps * kSegment + 1);
  for (int64_t k = 0; k < c.steps; ++k)
    for (int64_t i = 0; i < kVecs * kLanes; ++i)
      draws.data[k * kSegment + i] = bounded(0.0f, c.step[k].low, c.step[k].high);
  settle<HasLevels>(c, draws.data, draws.data, false, rest);
  return rest;
}

// Has the next weights in a cache when they are wanted: while numbers are drawn, memory has nothing to do.
inline void fetch_ahead(const float* weight, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(weight + i);
}

// Writes cells first .. last-1 and hands them over in pieces: keep(first, count, pairs, variance). Whether all of what
// they stand for is finite.
template <bool HasLevels, class Keep>
bool write_cells(const RehearsedRead& r, int64_t first, int64_t last, const Keep& keep) {
  const RehearsedCells& c = r.cells;
  Segment s;
  const bool settled = is_settled(c);
  const Memory<float> draws(2 * c.steps * kSegment);
  float* const others = draws.data + c.steps * kSegment;
  const Pairs rest = rest_of<HasLevels>(c, settled);
  const Units one = units_of(r, 0);
  for (int64_t i = 0; i < kSegment; ++i) {
    s.slope[i] = one.slope;
    s.gain[i] = HasLevels ? one.pair : one.gain;
  }
  bool finite = true;
  for (int64_t base = first / kSegment * kSegment; base < last; base += kSegment) {
    const int64_t begin = larger(first, base), count = smaller(last, base + kSegment) - begin, lead = begin - base;
    for (int64_t i = 0; i < kSegment && count < kSegment; ++i) s.weight[i] = 0.0f;
    for (int64_t i = 0; i < count; ++i) s.weight[lead + i] = c.weight[begin + i];
    fetch_ahead(c.weight + begin + count, smaller(last, base + 2 * kSegment) - begin - count);
    if (c.scale_size > 1) lay_out_units<HasLevels>(r, begin, count, s.slope + lead, s.gain + lead);
    draw_steps(c, 0, base, draws.data);
    if (!settled) draw_steps(c, 1, base, others);
    finite = combine<HasLevels>(c, draws.data, others, settled, rest, s) && finite;
    if (finite) keep(begin, count, s.pairs + lead, s.variance + lead);
  }
  return finite;
}

}  // namespace
}  // namespace memcore
