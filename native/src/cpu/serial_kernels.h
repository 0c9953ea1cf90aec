// Whole numbers by look-ups: a byte of an index has the bits that one plane of the input has in four rows, a table of
// 16 bytes has what these rows give for each of them, and one shuffle looks up as many bytes as a vector has.
//
// Bits are packed once: each byte of a vector is another pair of a plane and a read, a slot. Sums of look-ups stay in
// bytes as long as they fit and are widened to 16 bits then, the slots of even bytes before those of odd ones, so that
// widened sums lie in the order of the slots. All of them are integers, hence exact; the ADC rounds one product, of
// 16-bit numbers where that gives all codes that products of floats do.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/serial.h"
#include "memory.h"
#include "parallel.h"
#include "serial_few.h"
#include "serial_inputs.h"
#include "serial_vectors.h"
#include "simd.h"

namespace memcore {
namespace {

#if defined(__AVX512F__)
constexpr int kTables = 4;  // columns that are looked up together
#else
constexpr int kTables = 2;
#endif
constexpr int kBeside = 4;                    // columns whose tables lie side by side, in a cache line
constexpr int kIndices = 4;                   // vectors of indices that are looked up together
constexpr int64_t kSerialCols = 8;            // columns of a task
constexpr int64_t kPackedBlocks = 64;         // blocks of reads that are packed together
constexpr int64_t kSerialGrain = 256 * 1024;  // look-ups of one task, some 20 us

// A table in each group of 16 bytes.
MEMCORE_ALWAYS_INLINE Bytes spread_table(const uint8_t* table) {
#if defined(__AVX512F__)
  return (Bytes)_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
#elif defined(__AVX2__)
  return (Bytes)_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
#else
  return *reinterpret_cast<const UnalignedBytes*>(table);
#endif
}

// The byte of the table that each index, below 16, names.
MEMCORE_ALWAYS_INLINE Bytes look_up(Bytes table, Bytes index) {
#if defined(__AVX512F__)
  return (Bytes)_mm512_shuffle_epi8((__m512i)table, (__m512i)index);
#elif defined(__AVX2__)
  return (Bytes)_mm256_shuffle_epi8((__m256i)table, (__m256i)index);
#elif defined(__clang__)
  Bytes found;
  for (int i = 0; i < kBytes; ++i) found[i] = table[index[i]];
  return found;
#else
  return __builtin_shuffle(table, index);
#endif
}

// Slots are counted by planes first and reads then; so are results, by phases and reads.
struct SerialSizes {
  int64_t tiles, quads;    // of a tile
  int64_t blocks, height;  // of reads, and how many of them a block has at most
  int64_t vectors;         // of slots
  int64_t results;         // room for those of a column, vectors may reach beyond their end
  bool apart;              // whether each phase is one plane that counts 1
  int64_t index() const { return tiles * vectors * quads * kBytes; }
};

inline SerialSizes sizes_of(const SerialRead& r) {
  SerialSizes s = {};
  s.tiles = ceil_div(r.rows, r.tile_rows);
  s.quads = ceil_div(r.tile_rows, 4);
  s.blocks = ceil_div(r.n, kBytes);
  s.height = ceil_div(r.n, s.blocks);
  s.vectors = ceil_div(r.plane_count * s.height, kBytes);
  s.results = ceil_div(r.phases * s.height, kShorts) * kShorts + kShorts;
  s.apart = r.plane_count == r.phases;
  for (int64_t p = 0; p < r.plane_count; ++p) s.apart = s.apart && r.planes[p].phase == p && r.planes[p].weight == 1;
  return s;
}

// Some reads of one group: what is packed of them.
struct SerialBlock {
  int64_t group, first, last;
  uint8_t* index;  // [tiles, vectors, quads, kBytes]
  float* open;     // [tiles, results] sums of digits
  float* invalid;  // [kBytes] NaN for reads with an input that is NaN, else 0
};

// The byte of a vector that holds a slot: those of even bytes come first when sums are widened.
inline int64_t byte_of(int64_t slot) {
  const int64_t at = slot % kBytes, half = kBytes / 2;
  return at < half ? 2 * at : 2 * (at - half) + 1;
}

// Puts the bits of one read into its slots.
inline void pack_bits(const SerialRead& r, const SerialSizes& s, const int32_t* codes, int64_t apart, int64_t row,
                      const SerialBlock& block) {
  const int32_t lowest = static_cast<int32_t>(r.dac_lo);
  for (int64_t p = 0; p < r.plane_count; ++p) {
    const BitPlane& plane = r.planes[p];
    const int64_t slot = p * s.height + row;
    uint8_t* const to = block.index + slot / kBytes * s.quads * kBytes + byte_of(slot);
    for (int64_t tile = 0; tile < s.tiles; ++tile) {
      uint8_t* const index = to + tile * s.vectors * s.quads * kBytes;
      int64_t open = 0;
      for (int64_t quad = 0; quad < s.quads; quad += kPackedRows / 4) {
        const uint32_t bits = bits_of(codes + tile * apart + 4 * quad, plane, lowest);
        const int64_t some = smaller(kPackedRows / 4, s.quads - quad);
        for (int64_t q = 0; q < some; ++q) index[(quad + q) * kBytes] = static_cast<uint8_t>(bits >> 4 * q & 15);
        open += __builtin_popcount(bits);
      }
      block.open[tile * s.results + plane.phase * s.height + row] += static_cast<float>(plane.weight * open);
    }
  }
}

inline void pack_block(const SerialRead& r, const SerialSizes& s, const SerialBlock& block, int32_t* codes) {
  const int64_t apart = ceil_div(r.tile_rows, kPackedRows) * kPackedRows;
  for (int64_t i = 0; i < s.tiles * apart; ++i) codes[i] = 0;
  for (int64_t i = 0; i < s.index(); ++i) block.index[i] = 0;
  for (int64_t i = 0; i < s.tiles * s.results; ++i) block.open[i] = 0.0f;
  for (int64_t i = 0; i < kBytes; ++i) block.invalid[i] = 0.0f;
  for (int64_t i = block.first; i < block.last; ++i) {
    const float* const x = r.x + (i * r.groups + block.group) * r.rows;
    if (!find_codes(r, x, apart, codes)) block.invalid[i - block.first] = __builtin_nanf("");
    pack_bits(r, s, codes, apart, i - block.first, block);
  }
}

// Widened sums, beginning with 0 if `anew`: [2 kBytes] bytes in the order of the slots.
MEMCORE_ALWAYS_INLINE void widen(Bytes sum, bool anew, uint16_t* out) {
  UnalignedSums* const to = reinterpret_cast<UnalignedSums*>(out);
  const Sums even = (Sums)sum & 255, odd = (Sums)sum >> 8;
  to[0] = anew ? even : to[0] + even;
  to[1] = anew ? odd : to[1] + odd;
}

// Sums of one tile for kTables columns and Vectors vectors of slots; those of a column are `next` numbers apart.
template <int Vectors>
void add_tables(const uint8_t* tables, const uint8_t* index, int64_t quads, int64_t together, uint16_t* sums,
                int64_t next) {
  constexpr int Columns = kTables;
  for (int64_t first = 0; first < quads; first += together) {
    Bytes sum[Columns][Vectors] = {};
    const int64_t last = smaller(quads, first + together);
    for (int64_t q = first; q < last; ++q) {
      Bytes at[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v)
        at[v] = *reinterpret_cast<const UnalignedBytes*>(index + (v * quads + q) * kBytes);
#pragma GCC unroll 4
      for (int c = 0; c < Columns; ++c) {
        const Bytes table = spread_table(tables + (q * kBeside + c) * 16);
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) sum[c][v] += look_up(table, at[v]);
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < Columns; ++c)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) widen(sum[c][v], first == 0, sums + c * next + v * kBytes);
  }
}

using AddTables = void (*)(const uint8_t*, const uint8_t*, int64_t, int64_t, uint16_t*, int64_t);

inline AddTables add_tables_of(int64_t vectors) {
  static constexpr AddTables ways[kIndices] = {add_tables<1>, add_tables<2>, add_tables<3>, add_tables<4>};
  return ways[vectors - 1];
}

// How the sums of one column become codes.
struct SerialAdc {
  uint16_t shift;  // of sums that are not combined yet
  int32_t multiplier, raised;
  float factor, base;
};

// Numbers of phases, of those of several planes. What a vector writes beyond a phase belongs to later ones.
inline void combine_planes(const SerialRead& r, const SerialSizes& s, const int16_t* sums, uint16_t shift,
                           int16_t* out) {
  for (int64_t first = 0, last = 0; first < r.plane_count; first = last) {
    const int64_t phase = r.planes[first].phase;
    while (last < r.plane_count && r.planes[last].phase == phase) ++last;
    for (int64_t i = 0; i < s.height; i += kShorts) {
      Sums number = {};  // modulo 2^16
      for (int64_t p = first; p < last; ++p)
        number += (load_sums(sums + p * s.height + i) - shift) * static_cast<uint16_t>(r.planes[p].weight);
      store_shorts(out + phase * s.height + i, (Shorts)number);
    }
  }
}

// Adds the codes of one tile and column to totals [results].
inline void convert_shorts(const SerialRead& r, const SerialAdc& adc, int64_t count, const int16_t* sums,
                           int16_t* totals) {
  const Shorts lo = Shorts{} + code_of(r.lo), hi = Shorts{} + code_of(r.hi);
  const Shorts multiplier = Shorts{} + static_cast<int16_t>(adc.multiplier);
  for (int64_t i = 0; i < count; i += kShorts) {
    const Sums number = load_sums(sums + i) - adc.shift;  // modulo 2^16
    Shorts code = multiply_rounded((Shorts)(number << static_cast<uint16_t>(adc.raised)), multiplier);
    code = code < lo ? lo : code;
    code = code > hi ? hi : code;
    // Modulo 2^16: beyond the end are sums of anything.
    store_shorts(totals + i, (Shorts)(load_sums(totals + i) + (Sums)code));
  }
}

inline void convert_floats(const SerialRead& r, const SerialAdc& adc, int64_t count, const int16_t* sums,
                           const float* open, float* totals) {
  const Vec lo = splat(r.lo), hi = splat(r.hi);
  for (int64_t i = 0; i < count; i += kLanes) {
    Vec value = floats_of(sums + i);
    if (r.base != nullptr) value += load(open + i) * adc.base;
    store(totals + i, load(totals + i) + clamp(round_even(value * adc.factor), lo, hi));
  }
}

// What a thread works in; vectors reach beyond ends.
struct SerialMemory {
  Memory<int16_t> sums;    // [kTables, vectors * kBytes]
  Memory<int16_t> number;  // [results]
  Memory<int16_t> codes;   // [kSerialCols, results] sums of codes
  Memory<float> totals;    // the same of codes of floats
  explicit SerialMemory(const SerialSizes& s)
      : sums((kTables * s.vectors + 1) * kBytes),
        number(s.results),
        codes(kSerialCols * s.results),
        totals(kSerialCols * s.results) {}
};

// Converts the sums of one column in one tile; `which` column of the task it is.
inline void convert_column(const SerialRead& r, const SerialSizes& s, const SerialBlock& block, int64_t tile,
                           int64_t col, int64_t which, const int16_t* sums, SerialMemory& memory) {
  const int64_t count = r.phases * s.height;
  const uint16_t shift = static_cast<uint16_t>((r.shift[(block.group * r.cols + col) * s.tiles + tile]));
  SerialAdc adc{shift, r.multiplier[col], r.raised[col], r.factor[col], r.base == nullptr ? 0.0f : r.base[col]};
  const bool is_short = adc.multiplier != 0;
  if (!s.apart || !is_short) {
    combine_planes(r, s, sums, shift, memory.number.data);
    sums = memory.number.data;
    adc.shift = 0;
  }
  if (is_short)
    convert_shorts(r, adc, count, sums, memory.codes.data + which * s.results);
  else
    convert_floats(r, adc, count, sums, block.open + tile * s.results, memory.totals.data + which * s.results);
}

// Adds what kTables columns give in one tile, those of them that exist.
inline void read_columns(const SerialRead& r, const SerialSizes& s, const SerialBlock& block, int64_t tile, int64_t col,
                         int64_t which, SerialMemory& memory) {
  const int64_t line = (block.group * ceil_div(r.cols, kBeside) + col / kBeside) * s.tiles + tile;
  const uint8_t* const tables = r.tables + (line * s.quads * kBeside + col % kBeside) * 16;
  const int64_t next = s.vectors * kBytes;
  uint16_t* const sums = reinterpret_cast<uint16_t*>(memory.sums.data);
  for (int64_t v = 0; v < s.vectors; v += kIndices) {
    const uint8_t* const index = block.index + (tile * s.vectors + v) * s.quads * kBytes;
    const AddTables add = add_tables_of(smaller(kIndices, s.vectors - v));
    add(tables, index, s.quads, r.together, sums + v * kBytes, next);
  }
  for (int64_t c = 0; c < smaller(kTables, r.cols - col); ++c)
    convert_column(r, s, block, tile, col + c, which + c, memory.sums.data + c * next, memory);
}

// Writes what the digital adder makes of the codes of one column.
inline void write_column(const SerialRead& r, const SerialSizes& s, const SerialBlock& block, int64_t col,
                         int64_t which, const SerialMemory& memory) {
  const int64_t at = block.group * r.cols + col;
  const float scale = r.scale[r.scale_size == 1 ? 0 : at];
  const bool is_short = r.multiplier[col] != 0;
  float* const out = r.out + block.first * r.groups * r.cols + at;
  for (int64_t i = 0; i < block.last - block.first; i += kLanes) {
    Vec sum = {};
    for (int64_t phase = 0; phase < r.phases; ++phase) {
      const int64_t from = which * s.results + phase * s.height + i;
      const Vec codes = is_short ? floats_of(memory.codes.data + from) : load(memory.totals.data + from);
      sum += r.places[phase] * (scale * codes);
    }
    sum += load(block.invalid + i);
    const int64_t count = smaller(kLanes, block.last - block.first - i);
    for (int64_t k = 0; k < count; ++k) out[(i + k) * r.groups * r.cols] = sum[k];
  }
}

// Some columns for one block of reads.
inline void run_serial_task(const SerialRead& r, const SerialSizes& s, const SerialBlock& block, int64_t first,
                            SerialMemory& memory) {
  const int64_t last = smaller(r.cols, first + kSerialCols);
  for (int64_t i = 0; i < (last - first) * s.results; ++i) {
    memory.codes.data[i] = 0;
    memory.totals.data[i] = 0.0f;
  }
  for (int64_t tile = 0; tile < s.tiles; ++tile)
    for (int64_t col = first; col < last; col += kTables) read_columns(r, s, block, tile, col, col - first, memory);
  for (int64_t col = first; col < last; ++col) write_column(r, s, block, col, col - first, memory);
}

inline void serial_read(const SerialRead& r) {
  if (r.n == 0) return;
  if (r.n <= kFewReads) {
    read_few(r);
    return;
  }
  const SerialSizes s = sizes_of(r);
  const int64_t together = smaller(s.blocks, kPackedBlocks), parts = ceil_div(r.cols, kSerialCols);
  const int64_t open = s.tiles * s.results;
  const Memory<uint8_t> index(r.groups * together * s.index());
  const Memory<float> sums(r.groups * together * (open + kBytes));
  for (int64_t start = 0; start < s.blocks; start += together) {
    const int64_t count = smaller(together, s.blocks - start);
    const auto block_of = [&](int64_t group, int64_t block) {
      const int64_t at = group * together + block;
      float* const own = sums.data + at * (open + kBytes);
      return SerialBlock{group,
                         r.n * (start + block) / s.blocks,
                         r.n * (start + block + 1) / s.blocks,
                         index.data + at * s.index(),
                         own,
                         own + open};
    };
    parallel_for(r.groups * count, 1, [&](int64_t begin, int64_t end) {
      const Memory<int32_t> codes(s.tiles * (r.tile_rows + kPackedRows) + kLanes);
      for (int64_t t = begin; t < end; ++t) pack_block(r, s, block_of(t / count, t % count), codes.data);
    });
    // Blocks of reads follow each other while the tables of some columns stay in a cache.
    const int64_t work = s.tiles * s.quads * s.vectors * kSerialCols;
    parallel_for(r.groups * parts * count, ceil_div(kSerialGrain, work), [&](int64_t begin, int64_t end) {
      SerialMemory memory(s);
      for (int64_t t = begin; t < end; ++t)
        run_serial_task(r, s, block_of(t / count / parts, t % count), t / count % parts * kSerialCols, memory);
    });
  }
}

}  // namespace
}  // namespace memcore
