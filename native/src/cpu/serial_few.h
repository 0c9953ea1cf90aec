// Whole numbers of few reads: vectors hold columns side by side, and the cells of the rows that a bit opens are added
// up.
//
// Look-ups want as many slots as a vector has bytes, of which one read has as many as its input has bits. Here a row is
// looked at only where its bit is set, and a cell is one byte, a quarter of what tables take; those of a tile and some
// columns stay in the first-level cache for all bits of all reads. Sums and codes are those of look-ups.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/serial.h"
#include "memory.h"
#include "parallel.h"
#include "serial_inputs.h"
#include "serial_vectors.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int64_t kFewReads = 3 * kBytes / 32;  // up to which this is faster than look-ups
constexpr int64_t kWidth = 128;                 // columns of a task
constexpr int64_t kFewGrain = 48 * 1024;        // rows, times bits, of one task, some 20 us

// The rows that each bit opens, for each read, group and plane: [rows] offsets of cells, those of a tile from its first
// row on.
struct OpenRows {
  const SerialRead& r;
  int64_t tiles;
  Memory<int32_t> offsets;  // [n, groups, planes, rows]
  Memory<int32_t> counts;   // [n, groups, planes, tiles]
  Memory<float> invalid;    // [n, groups] NaN where an input is, else 0

  explicit OpenRows(const SerialRead& r)
      : r(r),
        tiles(ceil_div(r.rows, r.tile_rows)),
        offsets(r.n * r.groups * r.plane_count * r.rows),
        counts(r.n * r.groups * r.plane_count * tiles),
        invalid(r.n * r.groups) {}

  int32_t* rows_of(int64_t vector, int64_t plane, int64_t tile) const {
    return offsets.data + (vector * r.plane_count + plane) * r.rows + tile * r.tile_rows;
  }
  int32_t& count_of(int64_t vector, int64_t plane, int64_t tile) const {
    return counts.data[(vector * r.plane_count + plane) * tiles + tile];
  }
};

// The rows of a tile that one bit opens.
inline int32_t list_rows(const int32_t* codes, int64_t count, const BitPlane& plane, int32_t lowest, int32_t* rows) {
  int32_t open = 0;
  for (int64_t k = 0; k < count; k += kPackedRows)
    for (uint32_t bits = bits_of(codes + k, plane, lowest); bits != 0; bits &= bits - 1)
      rows[open++] = static_cast<int32_t>(k + __builtin_ctz(bits)) * static_cast<int32_t>(kWidth);
  return open;
}

inline void find_open(const SerialRead& r, const OpenRows& open) {
  const int64_t apart = ceil_div(r.tile_rows, kPackedRows) * kPackedRows;
  const int32_t lowest = static_cast<int32_t>(r.dac_lo);
  parallel_for(r.n * r.groups, ceil_div(kFewGrain, r.rows * r.plane_count), [&](int64_t begin, int64_t end) {
    const Memory<int32_t> codes(open.tiles * apart + kLanes);
    for (int64_t i = 0; i < open.tiles * apart; ++i) codes.data[i] = 0;
    for (int64_t vector = begin; vector < end; ++vector) {
      const bool is_valid = find_codes(r, r.x + vector * r.rows, apart, codes.data);
      open.invalid.data[vector] = is_valid ? 0.0f : __builtin_nanf("");
      for (int64_t p = 0; p < r.plane_count; ++p)
        for (int64_t tile = 0; tile < open.tiles; ++tile) {
          const int64_t count = smaller(r.tile_rows, r.rows - tile * r.tile_rows);
          open.count_of(vector, p, tile) =
              list_rows(codes.data + tile * apart, count, r.planes[p], lowest, open.rows_of(vector, p, tile));
        }
    }
  });
}

// How the sums of a panel of columns become codes.
struct FewAdc {
  alignas(64) int16_t multiplier[kWidth], power[kWidth];
  alignas(64) float factor[kWidth], base[kWidth], scale[kWidth];
  bool is_short;  // whether all columns have a multiplier
};

inline void find_adc(const SerialRead& r, int64_t group, int64_t first, FewAdc& adc) {
  adc.is_short = true;
  for (int64_t j = 0; j < kWidth; ++j) {
    const int64_t col = smaller(first + j, r.cols - 1);
    adc.multiplier[j] = static_cast<int16_t>(r.multiplier[col]);
    adc.power[j] = static_cast<int16_t>(1 << r.raised[col]);
    adc.factor[j] = r.factor[col];
    adc.base[j] = r.base == nullptr ? 0.0f : r.base[col];
    adc.scale[j] = r.scale[r.scale_size == 1 ? 0 : group * r.cols + col];
    adc.is_short = adc.is_short && adc.multiplier[j] != 0;
  }
}

// Sums of the cells of open rows times a weight, added to numbers [kWidth] that begin with 0 if `anew`.
inline void add_rows(const int8_t* cells, const int32_t* rows, int64_t count, int64_t within, int16_t weight, bool anew,
                     int16_t* numbers) {
  constexpr int kVectors = static_cast<int>(kWidth / kBytes);
  Shorts sums[2 * kVectors] = {};
  for (int64_t first = 0; first < count; first += within) {
    Bytes few[kVectors] = {};
    const int64_t last = smaller(count, first + within);
    for (int64_t k = first; k < last; ++k) {
      const int8_t* const row = cells + rows[k];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) few[v] += load_bytes(row + v * kBytes);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      Shorts lower, upper;
      widen_signed(few[v], lower, upper);
      sums[2 * v] += lower;
      sums[2 * v + 1] += upper;
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < 2 * kVectors; ++v) {
    const Shorts before = anew ? Shorts{} : load_shorts(numbers + v * kShorts);
    store_shorts(numbers + v * kShorts, before + sums[v] * weight);
  }
}

// Adds the codes of numbers to totals [kWidth].
inline void add_short_codes(const SerialRead& r, const FewAdc& adc, const int16_t* numbers, int16_t* totals) {
  const Shorts lo = Shorts{} + code_of(r.lo), hi = Shorts{} + code_of(r.hi);
#pragma GCC unroll 8
  for (int64_t i = 0; i < kWidth; i += kShorts) {
    const Sums raised = load_sums(numbers + i) * load_sums(adc.power + i);  // modulo 2^16
    Shorts code = multiply_rounded((Shorts)raised, load_shorts(adc.multiplier + i));
    code = code < lo ? lo : code;
    code = code > hi ? hi : code;
    store_shorts(totals + i, load_shorts(totals + i) + code);
  }
}

inline void add_codes(const SerialRead& r, const FewAdc& adc, const int16_t* numbers, float open, float* totals) {
  const Vec lo = splat(r.lo), hi = splat(r.hi);
  for (int64_t i = 0; i < kWidth; i += kLanes) {
    Vec value = floats_of(numbers + i);
    if (r.base != nullptr) value += open * load(adc.base + i);
    store(totals + i, load(totals + i) + clamp(round_even(value * load(adc.factor + i)), lo, hi));
  }
}

// Sums of codes of each phase of a read, of one kind or the other, [n, phases, kWidth].
struct FewTotals {
  Memory<int16_t> shorts;
  Memory<float> floats;
  FewTotals(const SerialRead& r) : shorts(r.n * r.phases * kWidth), floats(r.n * r.phases * kWidth) {}
};

// Adds what one read gives in one tile, whose cells begin at `cells`.
inline void add_tile(const SerialRead& r, const OpenRows& open, const FewAdc& adc, const int8_t* cells, int64_t vector,
                     int64_t tile, int64_t from, const FewTotals& totals) {
  alignas(64) int16_t numbers[kWidth];
  for (int64_t p = 0, last = 0; p < r.plane_count; p = last) {
    const int64_t phase = r.planes[p].phase;
    int64_t opened = 0;
    for (last = p; last < r.plane_count && r.planes[last].phase == phase; ++last) {
      const int64_t count = open.count_of(vector, last, tile);
      const int16_t weight = static_cast<int16_t>(r.planes[last].weight);
      add_rows(cells, open.rows_of(vector, last, tile), count, r.within, weight, last == p, numbers);
      opened += weight * count;
    }
    if (adc.is_short)
      add_short_codes(r, adc, numbers, totals.shorts.data + from + phase * kWidth);
    else
      add_codes(r, adc, numbers, static_cast<float>(opened), totals.floats.data + from + phase * kWidth);
  }
}

// What the digital adder makes of the codes of one read; `width` columns of it exist.
inline void write_few(const SerialRead& r, const FewAdc& adc, const FewTotals& totals, int64_t from, float invalid,
                      int64_t width, float* out) {
  alignas(64) float sums[kWidth];
  for (int64_t i = 0; i < kWidth; i += kLanes) {
    Vec sum = {};
    for (int64_t phase = 0; phase < r.phases; ++phase) {
      const int64_t at = from + phase * kWidth + i;
      const Vec codes = adc.is_short ? floats_of(totals.shorts.data + at) : load(totals.floats.data + at);
      sum += r.places[phase] * (load(adc.scale + i) * codes);
    }
    store(sums + i, sum + invalid);
  }
  for (int64_t j = 0; j < width; ++j) out[j] = sums[j];
}

inline void read_panel(const SerialRead& r, const OpenRows& open, int64_t group, int64_t first, FewTotals& totals) {
  FewAdc adc;
  find_adc(r, group, first, adc);
  const int64_t size = r.phases * kWidth, panels = ceil_div(r.cols, kWidth);
  for (int64_t i = 0; i < r.n * size; ++i) {
    totals.shorts.data[i] = 0;
    totals.floats.data[i] = 0.0f;
  }
  const int8_t* const cells = r.cells + (group * panels + first / kWidth) * r.rows * kWidth;
  for (int64_t tile = 0; tile < open.tiles; ++tile)
    for (int64_t i = 0; i < r.n; ++i)
      add_tile(r, open, adc, cells + tile * r.tile_rows * kWidth, i * r.groups + group, tile, i * size, totals);
  for (int64_t i = 0; i < r.n; ++i) {
    const int64_t vector = i * r.groups + group;
    write_few(r, adc, totals, i * size, open.invalid.data[vector], smaller(kWidth, r.cols - first),
              r.out + vector * r.cols + first);
  }
}

inline void read_few(const SerialRead& r) {
  const OpenRows open(r);
  find_open(r, open);
  const int64_t panels = ceil_div(r.cols, kWidth);
  const int64_t grain = ceil_div(kFewGrain, r.n * r.plane_count * r.rows);
  parallel_for(r.groups * panels, grain, [&](int64_t begin, int64_t end) {
    FewTotals totals(r);
    for (int64_t t = begin; t < end; ++t) read_panel(r, open, t / panels, t % panels * kWidth, totals);
  });
}

}  // namespace
}  // namespace memcore
