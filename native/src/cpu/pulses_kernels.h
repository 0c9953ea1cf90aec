// Coincidences of pulse trains, 32 slots at a time, and the order in which cells take pulses.
//
// The slots of all vectors of a group lie one behind the other in bits of words, so that short trains fill them too.
// A line has two bits for each slot: that it fires, and that it does with a negative sign. Two lines coincide in the
// bits that both have, and their number is counted for 16 cells at once.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/pulses.h"
#include "memory.h"
#include "parallel.h"
#include "philox_kernels.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kSlots = 32;     // of a word
constexpr int64_t kCountRows = 4;  // lines that are counted together
constexpr int64_t kCellGrain = 16 * 1024;

MEMCORE_ALWAYS_INLINE WordVec load_words(const uint32_t* p) {
  typedef uint32_t Unaligned __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
  return *reinterpret_cast<const Unaligned*>(p);
}

// How many bits are set, of each word or of each byte of it.
MEMCORE_ALWAYS_INLINE WordVec count_bits(WordVec x) {
#if defined(__AVX512VPOPCNTDQ__)
  return (WordVec)_mm512_popcnt_epi32((__m512i)x);
#elif defined(__AVX512BW__)
  const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m512i low = _mm512_set1_epi8(15), v = (__m512i)x;
  const __m512i one = _mm512_shuffle_epi8(table, _mm512_and_si512(v, low));
  const __m512i two = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi32(v, 4), low));
  return (WordVec)_mm512_add_epi8(one, two);
#elif defined(__AVX2__)
  const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m256i low = _mm256_set1_epi8(15), v = (__m256i)x;
  const __m256i one = _mm256_shuffle_epi8(table, _mm256_and_si256(v, low));
  const __m256i two = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi32(v, 4), low));
  return (WordVec)_mm256_add_epi8(one, two);
#else
  x -= (x >> 1) & 0x55555555u;
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  return (x + (x >> 4)) & 0x0F0F0F0Fu;
#endif
}

// Words of which those counts may be added up: no byte then is more than 255.
constexpr int64_t kCountedWords = 31;

// Those counts added up, of each word.
MEMCORE_ALWAYS_INLINE WordVec of_words(WordVec counts) {
#if defined(__AVX512VPOPCNTDQ__)
  return counts;
#elif defined(__AVX512BW__)
  const __m512i pairs = _mm512_maddubs_epi16((__m512i)counts, _mm512_set1_epi8(1));
  return (WordVec)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif defined(__AVX2__)
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)counts, _mm256_set1_epi8(1));
  return (WordVec)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#else
  counts = (counts & 0x00FF00FFu) + ((counts >> 8) & 0x00FF00FFu);
  return (counts + (counts >> 16)) & 0xFFFFu;
#endif
}

// The slots of one group: which vector, and which slot of its train.
struct TrainSlots {
  Memory<int64_t> vector, at;
  int64_t count = 0;

  TrainSlots(const Coincidences& c, int64_t group, int64_t most) : vector(most), at(most) {
    for (int64_t s = 0; s < c.n; ++s)
      for (int64_t k = 0; k < static_cast<int64_t>(c.length[s * c.groups + group]); ++k, ++count)
        vector.data[count] = s, at.data[count] = k;
  }
};

// The lines of one side of a group.
struct TrainLines {
  const float* probability;  // [n, groups, lines]
  int64_t lines;
  uint64_t key;
};

// Sets the bits of one slot: those lines whose draw is below the magnitude of their probability.
inline void fire_slot(const TrainLines& side, const Coincidences& c, int64_t group, int64_t vector, int64_t at,
                      uint32_t bit, float* draws, uint32_t* fired, uint32_t* negative) {
  const int64_t first = (at * c.groups + group) * side.lines, begin = first / 4 * 4;
  draw_run(side.key, static_cast<uint64_t>(c.first + vector), begin, first + side.lines, Uniform{}, draws - begin);
  const float* const p = side.probability + (vector * c.groups + group) * side.lines;
  const float* const u = draws + (first - begin);
  for (int64_t j = 0; j < side.lines; ++j) {
    const uint32_t fires = u[j] < __builtin_fabsf(p[j]) ? bit : 0u;
    fired[j] |= fires;
    negative[j] |= p[j] < 0.0f ? fires : 0u;
  }
}

// The words of a side, [words, stride] of fired lines and as many of those with a negative sign.
inline void fire(const TrainLines& side, const Coincidences& c, int64_t group, const TrainSlots& slots, int64_t words,
                 int64_t stride, uint32_t* fired, uint32_t* negative) {
  parallel_for(words, ceil_div(kCellGrain, kSlots * side.lines), [&](int64_t begin, int64_t end) {
    const Memory<float> draws(side.lines + 8);
    for (int64_t w = begin; w < end; ++w) {
      uint32_t *const f = fired + w * stride, *const m = negative + w * stride;
      for (int64_t j = 0; j < stride; ++j) f[j] = m[j] = 0;
      const int64_t last = smaller(kSlots, slots.count - w * kSlots);
      for (int64_t k = 0; k < last; ++k) {
        const int64_t slot = w * kSlots + k;
        fire_slot(side, c, group, slots.vector.data[slot], slots.at.data[slot], 1u << k, draws.data, f, m);
      }
    }
  });
}

// Both sides of one group, with room for whole vectors that begin at any line.
struct FiredLines {
  int64_t words, row_stride, col_stride;
  Memory<uint32_t> rows, row_signs, cols, col_signs;

  FiredLines(const Coincidences& c, int64_t group, const TrainSlots& slots)
      : words(ceil_div(slots.count, kSlots)),
        row_stride((ceil_div(c.inputs, kCountRows) + 1) * kCountRows),
        col_stride((ceil_div(c.outputs, kLanes) + 1) * kLanes),
        rows(words * row_stride),
        row_signs(words * row_stride),
        cols(words * col_stride),
        col_signs(words * col_stride) {
    fire({c.rows, c.inputs, c.row_key}, c, group, slots, words, row_stride, rows.data, row_signs.data);
    fire({c.cols, c.outputs, c.col_key}, c, group, slots, words, col_stride, cols.data, col_signs.data);
  }
};

MEMCORE_ALWAYS_INLINE Vec as_floats(WordVec x) { return __builtin_convertvector((IntVec)x, Vec); }

// Counts of kCountRows lines, each number of bits that both have, and of those of different signs.
struct Counts {
  WordVec both[kCountRows] = {}, opposite[kCountRows] = {};
};

// Some words of lines from `row` on, with as many bit lines as a vector is long from `col` on.
MEMCORE_ALWAYS_INLINE void count_words(const FiredLines& lines, int64_t row, int64_t col, int64_t begin, int64_t end,
                                       Counts& counts) {
  Counts some;
  const uint32_t *x = lines.rows.data + row, *x_sign = lines.row_signs.data + row;
  const uint32_t *d = lines.cols.data + col, *d_sign = lines.col_signs.data + col;
  for (int64_t w = begin; w < end; ++w) {
    const int64_t at_row = w * lines.row_stride, at_col = w * lines.col_stride;
    const WordVec fired = load_words(d + at_col), sign = load_words(d_sign + at_col);
#pragma GCC unroll 4
    for (int64_t r = 0; r < kCountRows; ++r) {
      const WordVec coincide = fired & (WordVec{} + x[at_row + r]);
      some.both[r] += count_bits(coincide);
      some.opposite[r] += count_bits(coincide & (sign ^ (WordVec{} + x_sign[at_row + r])));
    }
  }
#pragma GCC unroll 4
  for (int64_t r = 0; r < kCountRows; ++r) {
    counts.both[r] += of_words(some.both[r]);
    counts.opposite[r] += of_words(some.opposite[r]);
  }
}

inline void count_block(const FiredLines& lines, int64_t row, int64_t col, Vec* up, Vec* down) {
  Counts counts;
  for (int64_t w = 0; w < lines.words; w += kCountedWords)
    count_words(lines, row, col, w, smaller(lines.words, w + kCountedWords), counts);
  for (int64_t r = 0; r < kCountRows; ++r) {
    up[r] = as_floats(counts.opposite[r]);
    down[r] = as_floats(counts.both[r] - counts.opposite[r]);
  }
}

#if defined(__AVX512F__)
MEMCORE_ALWAYS_INLINE __mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
#elif defined(__AVX2__)
MEMCORE_ALWAYS_INLINE __m256i first_lanes(int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
}
#endif

// The first `count` numbers of a vector, zeros beyond; count < kLanes.
MEMCORE_ALWAYS_INLINE Vec load_first(const float* from, int64_t count) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_loadu_ps(first_lanes(count), from);
#elif defined(__AVX2__)
  return (Vec)_mm256_maskload_ps(from, first_lanes(count));
#else
  Vec v{};
  __builtin_memcpy(&v, from, static_cast<unsigned long>(count) * sizeof(float));
  return v;
#endif
}

MEMCORE_ALWAYS_INLINE void store_first(float* to, Vec v, int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, first_lanes(count), (__m512)v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(to, first_lanes(count), (__m256)v);
#else
  __builtin_memcpy(to, &v, static_cast<unsigned long>(count) * sizeof(float));
#endif
}

inline void put_some(float* to, Vec v, int64_t count) {
  if (count >= kLanes) return store(to, v);
  store_first(to, v, count);
}

inline void count_rows(const Coincidences& c, const FiredLines& lines, int64_t group, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row += kCountRows)
    for (int64_t col = 0; col < c.outputs; col += kLanes) {
      Vec up[kCountRows], down[kCountRows];
      count_block(lines, row, col, up, down);
      for (int64_t r = 0; r < smaller(kCountRows, end - row); ++r) {
        const int64_t to = (group * c.inputs + row + r) * c.outputs + col;
        put_some(c.up + to, up[r], c.outputs - col);
        put_some(c.down + to, down[r], c.outputs - col);
      }
    }
}

inline int64_t slots_of(const Coincidences& c, int64_t group) {
  int64_t count = 0;
  for (int64_t s = 0; s < c.n; ++s) count += static_cast<int64_t>(c.length[s * c.groups + group]);
  return count;
}

inline void coincidences(const Coincidences& c) {
  for (int64_t group = 0; group < c.groups; ++group) {
    const TrainSlots slots(c, group, slots_of(c, group));
    const FiredLines lines(c, group, slots);
    const int64_t grain = ceil_div(kCellGrain, c.outputs * (1 + lines.words));
    parallel_for_units(c.inputs, kCountRows, grain,
                       [&](int64_t begin, int64_t end) { count_rows(c, lines, group, begin, end); });
  }
}

// What one row adds to the sums of a PulseOrder.
struct RowSums {
  double both, pulses, sets, resets;
};

inline double sum_of(Vec v) {
  double sum = 0.0;
  for (int i = 0; i < kLanes; ++i) sum += static_cast<double>(v[i]);
  return sum;
}

// The weights of one word line of an array.
struct WordLine {
  int64_t row, col, first, count;  // of the first weight, its number, and how many there are

  WordLine(const PulseOrder& p, int64_t line) {
    const int64_t row_tiles = ceil_div(p.rows, p.array_rows), col_tiles = ceil_div(p.cols, p.data_cols);
    const int64_t array = line / p.array_rows, tile = array / col_tiles;
    col = array % col_tiles * p.data_cols;
    row = tile % row_tiles * p.array_rows + line % p.array_rows;
    first = (tile / row_tiles * p.rows + row) * p.cols + col;
    count = row < p.rows ? smaller(p.data_cols, p.cols - col) : 0;
  }
};

// A bit for each weight, which says what comes first: those of the word lines that are wanted.
class Coins {
 public:
  explicit Coins(const PulseOrder& p) : range_(p), bits_(4 * kBatch * range_.batches + 4) {
    for (int64_t b = 0; b < range_.batches; ++b)
      draw(p, range_.first / kBits + b * kBatch, bits_.data + 4 * kBatch * b);
  }

  // The bits, of which that of a weight has the number weight - first().
  const uint32_t* bits() const { return bits_.data; }
  int64_t first() const { return range_.first; }

 private:
  static constexpr int64_t kBits = 128;  // of a block

  // From the first weight to the last one, in whole batches of blocks.
  struct Range {
    int64_t first = INT64_MAX, batches;

    explicit Range(const PulseOrder& p) {
      int64_t last = 0;
      for (int64_t line = p.begin; line < p.end; ++line) {
        const WordLine weights(p, line);
        if (weights.count == 0) continue;
        first = smaller(first, weights.first);
        last = larger(last, weights.first + weights.count);
      }
      first = smaller(first, last) / kBits * kBits;
      batches = ceil_div(last - first, kBits * kBatch);
    }
  };

  static void draw(const PulseOrder& p, int64_t block, uint32_t* to) {
    Words words;
    for (int i = 0; i < kBatch; ++i)
      set_counter(words, i, static_cast<uint64_t>(block + i), static_cast<uint64_t>(p.read));
    scramble(p.key, words);
    for (int i = 0; i < kBatch; ++i)
      for (int lane = 0; lane < 4; ++lane) to[4 * i + lane] = words.w[lane][i];
  }

  Range range_;
  Memory<uint32_t> bits_;
};

// All bits set in those lanes, from that of one bit on, whose bit is.
MEMCORE_ALWAYS_INLINE IntVec lanes_of(const uint32_t* bits, int64_t bit) {
  uint32_t word;
  __builtin_memcpy(&word, reinterpret_cast<const char*>(bits) + bit / 8, sizeof word);
  IntVec lane{};
  for (int i = 0; i < kLanes; ++i) lane[i] = 1 << i;
  return (lane & static_cast<int32_t>(word >> (bit % 8))) != 0;
}

// What the pulses of one word line are made of, and where they go.
struct LineOrder {
  const float *up, *down, *conductance;
  float *before, *behind;
  bool opposite;
};

// The sums of RowSums, lane by lane.
struct LaneSums {
  Vec both{}, pulses{}, sets{}, resets{};
};

// The pulses of a vector of cells, or of the first `count` of one.
template <bool Opposite, bool Whole>
MEMCORE_ALWAYS_INLINE void order_some(const LineOrder& p, int64_t j, int64_t count, IntVec up_first, LaneSums& sums) {
  const Vec u = Whole ? load(p.up + j) : load_first(p.up + j, count);
  const Vec d = Whole ? load(p.down + j) : load_first(p.down + j, count);
  const Vec conducts = Whole ? load(p.conductance + j) : load_first(p.conductance + j, count);
  const Vec net = u - d;
  const IntVec takes_both = (u > 0.0f) & (d > 0.0f);
  const Vec drawn = up_first ? u : -d;
  const Vec ahead = takes_both ? drawn : net, rest = net - ahead;
  const Vec first = Opposite ? -ahead : ahead, second = Opposite ? -rest : rest;
  Whole ? store(p.before + j, first) : store_first(p.before + j, first, count);
  Whole ? store(p.behind + j, second) : store_first(p.behind + j, second, count);
  sums.both += takes_both ? splat(1.0f) : splat(0.0f);
  sums.pulses += u + d;
  sums.sets += conducts * (Opposite ? d : u);
  sums.resets += conducts * (Opposite ? u : d);
}

template <bool Opposite>
RowSums order_line_of(LineOrder p, const WordLine& weights, int64_t array_cols, const Coins& coins) {
  const uint32_t* const bits = coins.bits();
  const int64_t bit = weights.first - coins.first(), count = weights.count, whole = count / kLanes * kLanes;
  LaneSums sums;
  for (int64_t j = 0; j < whole; j += kLanes) order_some<Opposite, true>(p, j, kLanes, lanes_of(bits, bit + j), sums);
  if (whole < count) order_some<Opposite, false>(p, whole, count - whole, lanes_of(bits, bit + whole), sums);
  for (int64_t j = count; j < array_cols; ++j) p.before[j] = p.behind[j] = 0.0f;
  return {sum_of(sums.both), sum_of(sums.pulses), sum_of(sums.sets), sum_of(sums.resets)};
}

inline RowSums order_line(const LineOrder& p, const WordLine& weights, int64_t array_cols, const Coins& coins) {
  return p.opposite ? order_line_of<true>(p, weights, array_cols, coins)
                    : order_line_of<false>(p, weights, array_cols, coins);
}

inline RowSums order_row(const PulseOrder& p, int64_t line, const Coins& coins) {
  const WordLine weights(p, line);
  const int64_t to = (line - p.begin) * p.array_cols;
  const LineOrder order = {p.up + weights.first, p.down + weights.first, p.conductance + to,
                           p.before + to,        p.behind + to,          p.opposite};
  return order_line(order, weights, p.array_cols, coins);
}

// Adds up in order, for any number of threads.
inline void add_sums(const RowSums* rows, int64_t count, double* sums) {
  for (int k = 0; k < 4; ++k) sums[k] = 0.0;
  for (int64_t row = 0; row < count; ++row) {
    const RowSums& s = rows[row];
    sums[0] += s.both, sums[1] += s.pulses, sums[2] += s.sets, sums[3] += s.resets;
  }
}

inline void pulse_order(const PulseOrder& p) {
  const int64_t rows = p.end - p.begin;
  const Memory<RowSums> sums(rows);
  const Coins coins(p);
  parallel_for(rows, ceil_div(kCellGrain, p.array_cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) sums.data[row] = order_row(p, p.begin + row, coins);
  });
  add_sums(sums.data, rows, p.sums);
}

}  // namespace
}  // namespace memcore
