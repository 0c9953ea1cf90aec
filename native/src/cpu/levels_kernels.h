// Nearest level of a sorted table.
//
// The range of the table is divided into equal buckets, in x or, for tables that span decades, in the bits of x
// (roughly its logarithm). A bucket that holds at most one middle between two levels is resolved by one look-up and
// one comparison, exactly: the map from x to its bucket is monotone in floating point, so every middle in a lower
// bucket is below x and every middle in a higher one above. The few elements in buckets with several middles are
// searched one by one; if they are not few, the rest is done by vectorised binary search.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memcore/levels.h"
#include "memory.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kLevelsGrain = 16 * 1024;
constexpr int64_t kSmallest = 1024;  // elements for which a table of buckets pays

// One or more sorted tables, transposed: level i of column c is levels[i * cols + c]. The middle above it is
// middles[i * cols + c], infinite from i = n - 1 up to reach - 1, with reach the power of two not below n.
struct Tables {
  const float* levels;
  const float* middles;
  int64_t n, reach, cols;
};

inline int64_t reach_of(const QuantizeLevels& q) {
  int64_t reach = 1;
  while (reach < q.n_levels) reach *= 2;
  return reach;
}

// `levels` is memory for levels and middles, cols * (n_levels + reach) numbers.
inline Tables transpose(const QuantizeLevels& q, int64_t reach, float* levels) {
  float* const middles = levels + q.cols * q.n_levels;
  for (int64_t i = 0; i < reach; ++i)
    for (int64_t c = 0; c < q.cols; ++c) {
      const float* const level = q.levels + c * q.n_levels + i;
      if (i < q.n_levels) levels[i * q.cols + c] = level[0];
      middles[i * q.cols + c] = i + 1 < q.n_levels ? lower_middle(level[0], level[1]) : __builtin_inff();
    }
  return {levels, middles, q.n_levels, reach, q.cols};
}

// Binary search for `width` neighbouring elements, in columns c0, c0 + 1 .. (or all in column 0).
inline void search(const Tables& t, const float* x, int64_t c0, int64_t width, float* out) {
  constexpr int kWidth = 256;
  const int32_t cols = static_cast<int32_t>(t.cols), spread = t.cols == 1 ? 0 : 1;
  for (; width > 0; width -= kWidth, x += kWidth, out += kWidth, c0 += kWidth) {
    const int count = static_cast<int>(smaller(width, kWidth));
    int32_t at[kWidth] = {};
    for (int32_t half = static_cast<int32_t>(t.reach / 2); half > 0; half /= 2) {
      const float* const middles = t.middles + (half - 1) * t.cols + c0 * spread;
      for (int i = 0; i < count; ++i) at[i] += x[i] > middles[at[i] * cols + i * spread] ? half : 0;
    }
    const float* const levels = t.levels + c0 * spread;
    for (int i = 0; i < count; ++i) {
      const float nearest = levels[at[i] * cols + i * spread];
      out[i] = x[i] == x[i] ? nearest : x[i];
    }
  }
}

struct Buckets {
  Entry* entries;  // a = the middle in this bucket (NaN if there are several), b, c = the levels below and above it
  int32_t count;
  bool by_bits;
  float origin, density;  // bucket = (x - origin) * density
};

// For tables of positive levels the bits of x, read as an integer, grow with x; all that is not positive comes first.
template <bool ByBits>
MEMCORE_ALWAYS_INLINE IntVec bucket_of(const Buckets b, Vec x) {
  const Vec key = ByBits ? __builtin_convertvector((IntVec)x, Vec) : x;
  Vec place = (key - b.origin) * b.density;
  const Vec last = splat(static_cast<float>(b.count - 1));
  place = place > 0.0f ? place : Vec{};  // NaN too
  return __builtin_convertvector(place < last ? place : last, IntVec);
}

inline int32_t bucket_of(const Buckets& b, float x) {
  return (b.by_bits ? bucket_of<true>(b, splat(x)) : bucket_of<false>(b, splat(x)))[0];
}

inline Buckets divide(const Tables& t, int32_t count, bool by_bits) {
  const float first = t.middles[0], last = t.middles[t.n - 2];
  const float low = by_bits ? static_cast<float>(float_to_bits(first)) : first;
  const float high = by_bits ? static_cast<float>(float_to_bits(last)) : last;
  return {nullptr, count, by_bits, low, static_cast<float>(count - 1) / (high - low)};
}

// How many middles share their bucket with another one.
inline int64_t crowded(const Tables& t, const Buckets& buckets) {
  int64_t found = 0;
  for (int64_t i = 0; i + 2 < t.n; ++i)
    found += bucket_of(buckets, t.middles[i]) == bucket_of(buckets, t.middles[i + 1]);
  return found;
}

// As few buckets as separate all middles, if that is possible at all with a table that fits the second-level cache.
inline Buckets choose_buckets(const Tables& t) {
  int32_t count = 256;
  while (count <= t.n && count < 16384) count *= 2;
  const int32_t most = count < 4096 ? 4096 : count;
  for (;; count *= 2) {
    const Buckets linear = divide(t, count, false);
    const int64_t linear_crowded = crowded(t, linear);
    if (linear_crowded == 0) return linear;
    const Buckets bits = divide(t, count, true);
    const int64_t bits_crowded = t.levels[0] > 0.0f ? crowded(t, bits) : t.n;
    if (bits_crowded == 0 || (count == most && bits_crowded < linear_crowded)) return bits;
    if (count == most) return linear;
  }
}

inline void fill_buckets(const Tables& t, const Buckets& b) {
  int64_t i = 0;  // middles in lower buckets
  for (int32_t k = 0; k < b.count; ++k) {
    int64_t here = 0;
    while (i + here + 1 < t.n && bucket_of(b, t.middles[i + here]) <= k) ++here;
    const float middle = here == 0 ? __builtin_inff() : here == 1 ? t.middles[i] : __builtin_nanf("");
    b.entries[k] = {middle, t.levels[i], t.levels[i + (here > 0)], 0.0f};
    i += here;
  }
}

inline float search_one(const Tables& t, float x) {
  int64_t at = 0;
  for (int64_t half = t.reach / 2; half > 0; half /= 2) at += x > t.middles[at + half - 1] ? half : 0;
  return t.levels[at];
}

// The lanes whose bucket holds several middles; returns how many.
inline int64_t search_lanes(const Tables& t, Vec x, Vec middle, float* out) {
  int64_t found = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (middle[lane] == middle[lane] || x[lane] != x[lane]) continue;
    out[lane] = search_one(t, x[lane]);
    ++found;
  }
  return found;
}

// Byte offsets of the entries of some elements. A pass of its own, since offsets that are read back at once make the
// loads wait for the stores.
template <bool ByBits>
MEMCORE_ALWAYS_INLINE void find_entries(const Buckets b, const float* x, int64_t count, uint32_t* offsets) {
  for (int64_t i = 0; i < count; i += kLanes)
    *reinterpret_cast<IntVec*>(offsets + i) = bucket_of<ByBits>(b, load(x + i)) * static_cast<int32_t>(sizeof(Entry));
}

// Resolves elements by look-up until fewer than kLanes remain or too many were in crowded buckets; returns how many.
template <bool ByBits, bool AroundCache>
int64_t look_up(const Tables& t, const Buckets b, const float* x, int64_t count, float* out) {
  constexpr int64_t kBlock = 256;
  alignas(64) uint32_t offsets[kBlock];
  int64_t done = 0, crowded = 0;
  while (done + kLanes <= count && crowded <= 64 + done / 16) {
    const int64_t block = smaller(kBlock, (count - done) / kLanes * kLanes);
    find_entries<ByBits>(b, x + done, block, offsets);
    for (int64_t i = 0; i < block; i += kLanes) {
      const Vec v = load(x + done + i);
      Vec middle, below, above;
      load_entries(b.entries, offsets + i, middle, below, above);
      const Vec nearest = v > middle ? above : below;
      put<AroundCache>(out + done + i, v == v ? nearest : v);
      if (__builtin_expect(any(middle != middle), 0)) crowded += search_lanes(t, v, middle, out + done + i);
    }
    done += block;
  }
  if (AroundCache) finish_stores();
  return done;
}

inline void quantize_columns(const QuantizeLevels& q, const Tables& t) {
  parallel_for(q.count / q.cols, ceil_div(kLevelsGrain / 8, q.cols), [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin) search(t, q.x + begin * q.cols, 0, q.cols, q.out + begin * q.cols);
  });
}

inline void quantize_by_one_table(const QuantizeLevels& q, const Tables& t) {
  if (q.count < kSmallest || t.n < 3) {
    parallel_for(q.count, kLevelsGrain / 8,
                 [&](int64_t begin, int64_t end) { search(t, q.x + begin, 0, end - begin, q.out + begin); });
    return;
  }
  Buckets buckets = choose_buckets(t);
  const Memory<Entry> entries(buckets.count);
  buckets.entries = entries.data;
  fill_buckets(t, buckets);
  const bool around = bypasses_cache(q.out, q.count);
  const auto look = buckets.by_bits ? (around ? look_up<true, true> : look_up<true, false>)
                                    : (around ? look_up<false, true> : look_up<false, false>);
  parallel_for_units(q.count, kLanes, kLevelsGrain, [&](int64_t begin, int64_t end) {
    begin += look(t, buckets, q.x + begin, end - begin, q.out + begin);
    search(t, q.x + begin, 0, end - begin, q.out + begin);
  });
}

inline void quantize_levels(const QuantizeLevels& q) {
  if (q.count == 0) return;
  const int64_t reach = reach_of(q);
  const Memory<float> memory(q.cols * (q.n_levels + reach));
  const Tables tables = transpose(q, reach, memory.data);
  if (q.cols > 1)
    quantize_columns(q, tables);
  else
    quantize_by_one_table(q, tables);
}

}  // namespace
}  // namespace memcore
