// Reads of windows of images, with the noise of the cells.
//
// The DAC converts every value of an image once, zeros around it included. A task is some windows of one group and some
// panels of columns: tile by tile its windows are packed, at most kDepth inputs of each, and multiplied with the panels
// while they stay in the second-level cache. Neither windows nor currents of more than a task are ever in memory.
// Each output has its own accumulator that runs over k in order, as in mvm_kernels.h, whose results these are.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memcore/read.h"
#include "memory.h"
#include "mvm_kernels.h"
#include "parallel.h"
#include "philox_kernels.h"
#include "read_windows.h"
#include "simd.h"
#include "whole_kernels.h"

namespace memcore {
namespace {

constexpr int64_t kReadRows = 126 / kBlockRows * kBlockRows;  // windows of a task
constexpr int64_t kReadPanels = 8;                            // panels of a task
constexpr int64_t kDepth = 128;                               // inputs of a window that are packed together

// How the inputs of a row are cut: tiles into chunks of at most kDepth.
struct Chunks {
  int64_t inputs, tile_rows, of_tile, count;
  Chunks(int64_t inputs, int64_t tile_rows)
      : inputs(inputs),
        tile_rows(tile_rows),
        of_tile(ceil_div(tile_rows, kDepth)),
        count(inputs / tile_rows * of_tile + ceil_div(inputs % tile_rows, kDepth)) {}
  int64_t first(int64_t chunk) const { return chunk / of_tile * tile_rows + chunk % of_tile * kDepth; }
  int64_t last(int64_t chunk) const {
    return smaller(smaller(inputs, first(chunk) + kDepth), (chunk / of_tile + 1) * tile_rows);
  }
  int64_t depth(int64_t chunk) const { return last(chunk) - first(chunk); }
  int64_t of(int64_t k) const { return k / tile_rows * of_tile + k % tile_rows / kDepth; }
  int64_t eights(int64_t chunk) const { return ceil_div(depth(chunk), kEight); }
  int64_t most_bytes() const { return ceil_div(smaller(tile_rows, kDepth), kEight) * kEight * kPanel; }
  bool ends_tile(int64_t chunk) const { return chunk + 1 == count || (chunk + 1) % of_tile == 0; }
};

// sum + a b; Narrow: of pairs of bfloat16, both products are added. As an instruction, since this file is compiled for
// processors that lack it too.
template <bool Narrow>
MEMCORE_ALWAYS_INLINE Vec add_product(Vec sum, Vec a, Vec b) {
#if defined(__AVX512F__)
  if (Narrow) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
#endif
  return sum + a * b;
}

// Adds the products of packed inputs to sums[Rows, kPanel], for kBlockCols columns; begins with zero if `anew`.
// ByRow: packed by pack_rows, else by pack_windows.
template <int Rows, bool ByRow, bool Narrow>
void multiply_packed(const float* input, const float* weights, int64_t depth, bool anew, float* sums) {
  constexpr int64_t kApart = ByRow ? kStride : 1, kNext = ByRow ? 1 : kWide;
  Vec acc[Rows][2] = {};
  if (!anew) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      acc[i][0] = load(sums + i * kPanel);
      acc[i][1] = load(sums + i * kPanel + kLanes);
    }
  }
  for (; depth > 0; --depth, input += kNext, weights += kPanel) {
    const Vec w0 = load(weights), w1 = load(weights + kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vec value = splat(input[i * kApart]);
      acc[i][0] = add_product<Narrow>(acc[i][0], value, w0);
      acc[i][1] = add_product<Narrow>(acc[i][1], value, w1);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    store(sums + i * kPanel, acc[i][0]);
    store(sums + i * kPanel + kLanes, acc[i][1]);
  }
}

using MultiplyPacked = void (*)(const float*, const float*, int64_t, bool, float*);

template <bool ByRow, bool Narrow>
MultiplyPacked multiply_packed_of(int64_t rows) {
  static constexpr MultiplyPacked table[] = {
      multiply_packed<1, ByRow, Narrow>,  multiply_packed<2, ByRow, Narrow>,  multiply_packed<3, ByRow, Narrow>,
      multiply_packed<4, ByRow, Narrow>,  multiply_packed<5, ByRow, Narrow>,  multiply_packed<6, ByRow, Narrow>,
#if defined(__AVX512F__)
      multiply_packed<7, ByRow, Narrow>,  multiply_packed<8, ByRow, Narrow>,  multiply_packed<9, ByRow, Narrow>,
      multiply_packed<10, ByRow, Narrow>, multiply_packed<11, ByRow, Narrow>, multiply_packed<12, ByRow, Narrow>,
      multiply_packed<13, ByRow, Narrow>, multiply_packed<14, ByRow, Narrow>,
#endif
  };
  return table[rows - 1];
}

inline MultiplyPacked multiply_packed_of(int64_t rows, bool by_row, bool narrow) {
#if defined(__AVX512F__)
  if (narrow) return by_row ? multiply_packed_of<true, true>(rows) : multiply_packed_of<false, true>(rows);
#else
  (void)narrow;
#endif
  return by_row ? multiply_packed_of<true, false>(rows) : multiply_packed_of<false, false>(rows);
}

// The draws of whole panels: each read has eight blocks of four numbers, kBatch / 8 reads are drawn together.
inline void draw_panels_of_reads(uint64_t key, const int64_t* reads, int64_t count, int64_t quarter, float* out) {
  constexpr int kQuarters = kPanel / 4, kReads = kBatch / kQuarters;
  Words words = {};
  Numbers<float> numbers;
  for (int64_t first = 0; first < count; first += kReads, out += kReads * kPanel) {
    const int some = static_cast<int>(smaller(kReads, count - first));
    for (int i = 0; i < some; ++i) {
      const uint64_t read = static_cast<uint64_t>(reads[first + i]);
      for (int q = 0; q < kQuarters; ++q) {
        const uint64_t at = static_cast<uint64_t>(quarter + q);
        words.w[0][i * kQuarters + q] = static_cast<uint32_t>(at);
        words.w[1][i * kQuarters + q] = static_cast<uint32_t>(at >> 32);
        words.w[2][i * kQuarters + q] = static_cast<uint32_t>(read);
        words.w[3][i * kQuarters + q] = static_cast<uint32_t>(read >> 32);
      }
    }
    scramble(key, words);
    Normal{}(words, numbers);
    for (int i = 0; i < some * kQuarters; ++i)
      for (int lane = 0; lane < 4; ++lane) out[4 * i + lane] = numbers.v[lane][i];
  }
}

// Normal numbers of elements first .. first + width - 1 of some reads; out[i * kPanel] is the first one of read i.
inline void draw_elements_of_reads(uint64_t key, const int64_t* reads, int64_t count, int64_t first, int64_t width,
                                   float* out) {
  const int64_t quarter = first / 4, quarters = (first + width - 1) / 4 - quarter + 1;
  if (first % 4 == 0 && width == kPanel) {
    draw_panels_of_reads(key, reads, count, quarter, out);
    return;
  }
  Words words = {};
  Numbers<float> numbers;
  for (int64_t done = 0; done < count * quarters; done += kBatch) {
    const int some = static_cast<int>(smaller(kBatch, count * quarters - done));
    for (int i = 0; i < some; ++i)
      set_counter(words, i, static_cast<uint64_t>(quarter + (done + i) % quarters),
                  static_cast<uint64_t>(reads[(done + i) / quarters]));
    scramble(key, words);
    Normal{}(words, numbers);
    for (int i = 0; i < some; ++i) {
      const int64_t read = (done + i) / quarters, left = 4 * (quarter + (done + i) % quarters) - first;
      for (int64_t lane = 0; lane < 4; ++lane)
        if (left + lane >= 0 && left + lane < width) out[read * kPanel + left + lane] = numbers.v[lane][i];
    }
  }
}

// Some windows of one group, and some panels.
struct ReadTask {
  int64_t group, first, last, first_panel, last_panel;
  int64_t count() const { return last - first; }
};

// What a thread works in; of each kind as much as the largest task needs.
struct ReadMemory {
  Memory<int64_t> windows, reads;         // where windows begin, and their numbers
  Memory<float> packed, squares;          // blocks of [depth, kWide], or [windows, kStride]
  Memory<uint8_t> bytes;                  // blocks of [depth / 4, kWide, 4], how much codes are above the lowest one
  Memory<float> current, variance, sums;  // [panels, windows, kPanel]; whole currents are integers
  Memory<float> draws;                    // [windows, kPanel]
  ReadMemory(bool noisy, bool whole, int64_t rows, int64_t panels)
      : windows(rows),
        reads(rows),
        packed(packed_size(rows)),
        squares(noisy ? packed_size(rows) : 1),
        bytes(whole ? packed_size(rows) : 1),
        current(panels * rows * kPanel),
        variance(noisy ? panels * rows * kPanel : 1),
        sums(panels * rows * kPanel),
        draws(noisy ? rows * kPanel : 1) {}
  static int64_t packed_size(int64_t rows) { return ceil_div(rows, kBlockRows) * kWide * kStride; }
};

inline bool is_noisy(const CrossbarRead& r) { return r.variance != nullptr || r.narrow != nullptr; }

// Columns of levels, as products of bytes take them.
struct WholeColumns {
  Memory<int8_t> levels;    // [groups, panels, chunks, inputs / 4, kPanel, 4]
  Memory<int32_t> offsets;  // [groups, panels, chunks, kPanel]: sums of levels times the lowest code
  WholeColumns(int64_t panels, const Chunks& chunks)
      : levels(panels * chunks.count * chunks.most_bytes()), offsets(panels * chunks.count * kPanel) {}
};

struct Reading {
  const CrossbarRead& r;
  const Chunks& chunks;
  const WholeColumns* whole;  // nullptr: products are of floats
  ReadSizes sizes;
  const float* codes;
  const int64_t* offsets;
  bool by_row;  // images are single points: what a window reads lies one after another

  // Where a block is packed that begins with a row of the task.
  int64_t place(int64_t block, int64_t row, int64_t depth) const {
    return by_row ? row * kStride : block * depth * kWide;
  }
};

// A number in bfloat16, halves rounded to even, in the upper half of a word.
MEMCORE_ALWAYS_INLINE uint32_t narrowed(float x) {
  const uint32_t bits = static_cast<uint32_t>(float_to_bits(x));
  return (bits + 0x7FFFu + (bits >> 16 & 1u)) & 0xFFFF0000u;
}

MEMCORE_ALWAYS_INLINE float narrow_pair(float first, float second) {
  return bits_to_float(static_cast<int32_t>(narrowed(first * first) >> 16 | narrowed(second * second)));
}

// Squares of packed inputs in pairs, those of inputs 2 k and 2 k + 1 in number k of a read; `next` is from one input to
// the next one and from one pair to the next one, of `wide` reads side by side.
inline void pack_pairs(const float* packed, int64_t depth, int64_t next, int64_t wide, float* out) {
  for (int64_t k = 0; k < depth / 2; ++k)
    for (int64_t i = 0; i < wide; ++i)
      out[k * next + i] = narrow_pair(packed[2 * k * next + i], packed[(2 * k + 1) * next + i]);
  for (int64_t i = 0; depth % 2 != 0 && i < wide; ++i)
    out[depth / 2 * next + i] = narrow_pair(packed[(depth - 1) * next + i], 0.0f);
}

inline void pack_squares(const Reading& reading, const ReadTask& task, int64_t depth, ReadMemory& memory) {
  const int64_t blocks = ceil_div(task.count(), kBlockRows), count = task.count();
  const float* const packed = memory.packed.data;
  float* const squares = memory.squares.data;
  if (reading.r.narrow == nullptr) {
    for (int64_t i = 0; i < reading.place(blocks, count, depth); i += kLanes)
      store(squares + i, load(packed + i) * load(packed + i));
  } else if (reading.by_row) {
    for (int64_t i = 0; i < count; ++i) pack_pairs(packed + i * kStride, depth, 1, 1, squares + i * kStride);
  } else {
    for (int64_t i = 0; i < blocks * depth * kWide; i += depth * kWide)
      pack_pairs(packed + i, depth, kWide, kWide, squares + i);
  }
}

inline void pack_task(const Reading& reading, const ReadTask& task, int64_t k0, int64_t k1, ReadMemory& memory) {
  const CrossbarRead& r = reading.r;
  const int64_t blocks = ceil_div(task.count(), kBlockRows), depth = k1 - k0;
  const float* const codes = reading.codes + task.group * r.channels * volume(r.window.padded);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t row = task.count() * block / blocks, height = task.count() * (block + 1) / blocks - row;
    const int64_t* const at = memory.windows.data + row;
    float* const to = memory.packed.data + reading.place(block, row, depth);
    if (reading.by_row)
      pack_rows(codes + k0, at, height, depth, to);
    else
      pack_windows(codes, at, height, reading.offsets + k0, depth, to);
  }
  if (is_noisy(r)) pack_squares(reading, task, depth, memory);
}

// Puts packed inputs of `depth` into bytes. Whether all of them are numbers.
inline bool pack_whole(const Reading& reading, const ReadTask& task, int64_t depth, ReadMemory& memory) {
  const int64_t blocks = ceil_div(task.count(), kBlockRows);
  IntVec lanes, missing = {};
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t height = task.count() * (block + 1) / blocks - task.count() * block / blocks;
    const float* const from = memory.packed.data + block * depth * kWide;
    uint8_t* to = memory.bytes.data + block * kDepth * kWide;
    for (int64_t k = 0; k < depth; k += 4)
      for (int64_t i = 0; i < kWide; i += kLanes, to += 4 * kLanes) {
        IntVec unknown = {};
        store_ints(to, four_bytes(from + k * kWide + i, kWide, depth - k, reading.r.dac[1], unknown));
        missing |= unknown & (lanes < static_cast<int32_t>(height - i));
      }
  }
  return !any(missing);
}

// What a panel of weights or of variances is multiplied with: `depth` inputs of each window, or half as many pairs.
struct Factors {
  const float* packed;
  int64_t depth;
  bool narrow;
};

// Products of all packed inputs with one panel, sums [windows, kPanel].
inline void multiply_panel(const Reading& reading, const ReadTask& task, const Factors& inputs, const float* panel,
                           bool anew, float* sums) {
  const int64_t steps = inputs.narrow ? ceil_div(inputs.depth, 2) : inputs.depth;
  const int64_t blocks = ceil_div(task.count(), kBlockRows);
  for (int64_t j = 0; j < kPanel; j += kBlockCols)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = task.count() * block / blocks, height = task.count() * (block + 1) / blocks - row;
      const auto multiply = multiply_packed_of(height, reading.by_row, inputs.narrow);
      const float* const packed = inputs.packed + reading.place(block, row, inputs.depth);
      multiply(packed, panel + j, steps, anew, sums + row * kPanel + j);
    }
}

// The same of bytes, in integers.
inline void multiply_whole(const Reading& reading, const ReadTask& task, int64_t panel, int64_t chunk, bool anew,
                           const uint8_t* bytes, int32_t* sums) {
  const Chunks& chunks = reading.chunks;
  const int64_t blocks = ceil_div(task.count(), kBlockRows);
  const int64_t at = (task.group * reading.sizes.panels + panel) * chunks.count + chunk;
  const int8_t* const levels = reading.whole->levels.data + at * chunks.most_bytes();
  for (int64_t j = 0; j < kPanel; j += kBlockCols)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = task.count() * block / blocks, height = task.count() * (block + 1) / blocks - first;
      const int64_t parts = ceil_div(height, kWholeRows);
      for (int64_t part = 0; part < parts; ++part) {
        const int64_t row = height * part / parts, some = height * (part + 1) / parts - row;
        multiply_bytes_of<true>(some)({bytes + block * kDepth * kWide + 4 * row, 4, 4 * kWide}, levels + 4 * j,
                                      chunks.eights(chunk), reading.whole->offsets.data + at * kPanel + j, anew,
                                      sums + (first + row) * kPanel + j);
      }
    }
}

// The draws of a panel in one tile, [windows, kPanel].
inline void draw_panel(const Reading& reading, const ReadTask& task, int64_t panel, int64_t tile, const int64_t* reads,
                       float* out) {
  const CrossbarRead& r = reading.r;
  const int64_t cols = r.cols / r.values, first = panel * kPanel, end = smaller(r.cols, first + kPanel);
  for (int64_t j = first; j < end;) {
    const int64_t value = j / cols, width = smaller(end, (value + 1) * cols) - j;
    const int64_t element = (task.group * reading.sizes.tiles + tile) * cols + j % cols;
    draw_elements_of_reads(r.key + static_cast<uint64_t>(value), reads, task.count(), element, width,
                           out + (j - first));
    j += width;
  }
}

template <bool HasAdc, bool HasNoise>
void digitise(const Adc& adc, const float* current, const float* variance, const float* draws, int64_t count,
              float* sums) {
  for (int64_t i = 0; i < count; i += kLanes) {
    Vec value = load(current + i);
    if (HasNoise) value += square_roots(load(variance + i)) * load(draws + i);
    if (HasAdc) value = clamp(round_even(value), adc.lo, adc.hi);
    store(sums + i, load(sums + i) + value);
  }
}

using Digitise = void (*)(const Adc&, const float*, const float*, const float*, int64_t, float*);

inline Digitise digitise_of(const CrossbarRead& r) {
  if (r.hi < r.lo) return is_noisy(r) ? digitise<false, true> : digitise<false, false>;
  return is_noisy(r) ? digitise<true, true> : digitise<true, false>;
}

// The variances of one panel in a tile, from input k0 on.
inline const float* variance_of(const Reading& reading, int64_t group, int64_t panel, int64_t tile, int64_t k0) {
  const CrossbarRead& r = reading.r;
  const int64_t at = group * reading.sizes.panels + panel;
  if (r.narrow == nullptr) return r.variance + (at * reading.sizes.rows + k0) * kPanel;
  const int64_t pairs = ceil_div(r.tile_rows, 2), row = (k0 - tile * r.tile_rows) / 2;
  return reinterpret_cast<const float*>(r.narrow) + ((at * reading.sizes.tiles + tile) * pairs + row) * kPanel;
}

// Puts sums of products [windows, kPanel], integers if they are whole, into the units of their columns.
inline void scale_panel(const CrossbarRead& r, const ReadTask& task, int64_t panel, bool whole, float* current) {
  const int64_t width = smaller(kPanel, r.cols - panel * kPanel);
  float unit[kPanel] = {};
  for (int64_t j = 0; j < width; ++j) unit[j] = r.unit[task.group * r.cols + panel * kPanel + j];
  for (int64_t i = 0; i < task.count() * kPanel; i += kPanel)
    for (int64_t j = 0; j < kPanel; j += kLanes) {
      float* const at = current + i + j;
      store(at, (whole ? __builtin_convertvector(load_ints(at), Vec) : load(at)) * load(unit + j));
    }
}

// Adds one tile's contribution to the sums of a task. Whether all inputs are numbers, if they are to be bytes.
inline bool read_tile(const Reading& reading, const ReadTask& task, int64_t tile, ReadMemory& memory) {
  const CrossbarRead& r = reading.r;
  const Adc adc{splat(r.lo), splat(r.hi)};
  const int64_t first = tile * r.tile_rows, last = smaller(reading.sizes.rows, first + r.tile_rows);
  const int64_t size = task.count() * kPanel, apart = last - first > kDepth ? size : 0;
  const Digitise add = digitise_of(r);
  const bool noisy = is_noisy(r);
  for (int64_t k0 = first; k0 < last; k0 += kDepth) {
    const int64_t k1 = smaller(last, k0 + kDepth);
    pack_task(reading, task, k0, k1, memory);
    if (reading.whole != nullptr && !pack_whole(reading, task, k1 - k0, memory)) return false;
    for (int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
      const int64_t index = panel - task.first_panel;
      const int64_t from = ((task.group * reading.sizes.panels + panel) * reading.sizes.rows + k0) * kPanel;
      float* const current = memory.current.data + index * apart;
      float* const variance = memory.variance.data + index * apart;
      if (reading.whole != nullptr)
        multiply_whole(reading, task, panel, reading.chunks.of(k0), k0 == first, memory.bytes.data,
                       reinterpret_cast<int32_t*>(current));
      else
        multiply_panel(reading, task, {memory.packed.data, k1 - k0, false}, r.panels + from, k0 == first, current);
      if (noisy)
        multiply_panel(reading, task, {memory.squares.data, k1 - k0, r.narrow != nullptr},
                       variance_of(reading, task.group, panel, tile, k0), k0 == first, variance);
      if (k1 < last) continue;
      if (r.unit != nullptr) scale_panel(r, task, panel, reading.whole != nullptr, current);
      if (noisy) draw_panel(reading, task, panel, tile, memory.reads.data, memory.draws.data);
      add(adc, current, variance, memory.draws.data, size, memory.sums.data + index * size);
    }
  }
  return true;
}

// Puts four numbers of each of four rows `apart` from each other into four numbers of four columns `next` apart, and
// adds `more` to each row, if there are any.
MEMCORE_ALWAYS_INLINE void transpose_four(const float* rows, int64_t apart, float* columns, int64_t next,
                                          const float* more = nullptr) {
#if defined(MEMCORE_X86)
  __m128 a = _mm_loadu_ps(rows), b = _mm_loadu_ps(rows + apart);
  __m128 c = _mm_loadu_ps(rows + 2 * apart), d = _mm_loadu_ps(rows + 3 * apart);
  if (more != nullptr) {
    const __m128 added = _mm_loadu_ps(more);
    a = _mm_add_ps(a, added), b = _mm_add_ps(b, added), c = _mm_add_ps(c, added), d = _mm_add_ps(d, added);
  }
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(columns, a);
  _mm_storeu_ps(columns + next, b);
  _mm_storeu_ps(columns + 2 * next, c);
  _mm_storeu_ps(columns + 3 * next, d);
#else
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t j = 0; j < 4; ++j)
      columns[j * next + i] = more == nullptr ? rows[i * apart + j] : rows[i * apart + j] + more[j];
#endif
}

// Columns of reads side by side in an image, to a row for each column.
inline void write_columns(const float* sums, const float* bias, int64_t reads, int64_t width, int64_t apart,
                          float* out) {
  const int64_t whole = reads / 4 * 4, fours = width / 4 * 4;
  for (int64_t j = 0; j < fours; j += 4)
    for (int64_t k = 0; k < whole; k += 4)
      transpose_four(sums + k * kPanel + j, kPanel, out + j * apart + k, apart, bias + j);
  for (int64_t j = 0; j < width; ++j)
    for (int64_t k = j < fours ? whole : 0; k < reads; ++k) out[j * apart + k] = sums[k * kPanel + j] + bias[j];
}

// Writes one panel of scaled sums. The bias is added to what was rounded, as a sum of tensors does.
inline void write_panel(const CrossbarRead& r, const ReadTask& task, int64_t panel, float* sums) {
  const int64_t first = task.group * r.cols + panel * kPanel, positions = volume(r.window.positions);
  const int64_t width = smaller(kPanel, r.cols - panel * kPanel);
  float scale[kPanel] = {}, bias[kPanel] = {};
  for (int64_t j = 0; j < width; ++j) scale[j] = r.scale[r.scale_size == 1 ? 0 : first + j];
  for (int64_t j = 0; j < width && r.bias != nullptr; ++j) bias[j] = r.bias[first + j];
  for (int64_t i = 0; i < task.count(); ++i)
    for (int64_t j = 0; j < kPanel; ++j) sums[i * kPanel + j] *= scale[j];
  if (!r.channels_first) {
    for (int64_t i = 0; i < task.count(); ++i)
      for (int64_t j = 0; j < width; ++j)
        r.out[(task.first + i) * r.groups * r.cols + first + j] = sums[i * kPanel + j] + bias[j];
    return;
  }
  for (int64_t i = 0; i < task.count();) {
    const int64_t image = (task.first + i) / positions, place = (task.first + i) % positions;
    const int64_t run = smaller(task.count() - i, positions - place);
    float* const out = r.out + (image * r.groups * r.cols + first) * positions + place;
    write_columns(sums + i * kPanel, bias, run, width, positions, out);
    i += run;
  }
}

// Whether all inputs are numbers, if they are to be bytes; else nothing is written.
inline bool run_read_task(const Reading& reading, const ReadTask& task, ReadMemory& memory) {
  const int64_t size = task.count() * kPanel;
  const CrossbarRead& r = reading.r;
  for (int64_t i = 0; i < task.count(); ++i) {
    memory.windows.data[i] = find_window(r, task.first + i);
    memory.reads.data[i] = r.reads == nullptr ? r.first_read + (task.first + i) * r.read_step : r.reads[task.first + i];
  }
  for (int64_t i = 0; i < (task.last_panel - task.first_panel) * size; ++i) memory.sums.data[i] = 0.0f;
  for (int64_t tile = 0; tile < reading.sizes.tiles; ++tile)
    if (!read_tile(reading, task, tile, memory)) return false;
  for (int64_t panel = task.first_panel; panel < task.last_panel; ++panel)
    write_panel(r, task, panel, memory.sums.data + (panel - task.first_panel) * size);
  return true;
}

// How windows and panels are cut into tasks: as few as memory allows, but as many for each thread.
struct ReadParts {
  int64_t windows, panels;
};

inline ReadParts parts_of(const CrossbarRead& r, const ReadSizes& sizes) {
  const int64_t threads = max_threads(), blocks = ceil_div(sizes.reads, kBlockRows);
  int64_t windows = ceil_div(blocks, kReadRows / kBlockRows), panels = ceil_div(sizes.panels, kReadPanels);
  if (r.groups * windows * panels % threads != 0) windows = smaller(blocks, ceil_div(windows, threads) * threads);
  if (r.groups * windows * panels < threads) panels = smaller(sizes.panels, ceil_div(threads, r.groups * windows));
  return {windows, panels};
}

// Puts columns into bytes, where they have units and the codes fit. Whether all of them are levels.
inline bool put_whole_columns(const CrossbarRead& r, const ReadSizes& sizes, const Chunks& chunks,
                              WholeColumns& whole) {
  const int64_t panels = r.groups * sizes.panels;
  const auto lo = static_cast<int32_t>(r.dac[1]);
  const Memory<int32_t> others(panels);
  parallel_for(panels, ceil_div(kLeast, sizes.rows), [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      others.data[panel] = 0;
      for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
        const float* const from = r.panels + (panel * sizes.rows + chunks.first(chunk)) * kPanel;
        const int64_t at = panel * chunks.count + chunk;
        if (!put_levels(from, chunks.depth(chunk), lo, whole.levels.data + at * chunks.most_bytes(),
                        whole.offsets.data + at * kPanel))
          others.data[panel] = 1;
      }
    }
  });
  int32_t any_others = 0;
  for (int64_t panel = 0; panel < panels; ++panel) any_others |= others.data[panel];
  return any_others == 0;
}

inline void crossbar_read(const CrossbarRead& r) {
  const ReadSizes sizes = sizes_of(r);
  if (sizes.reads == 0) return;
  // Vectors of windows reach over both ends.
  const int64_t values = r.images * r.groups * r.channels * volume(r.window.padded);
  const Memory<float> memory(values + 2 * kLanes);
  float* const codes = memory.data + kLanes;
  for (int64_t i = 0; i < kLanes; ++i) codes[i - kLanes] = codes[values + i] = 0.0f;
  const Memory<int64_t> offsets(sizes.rows);
  convert_images(r, codes);
  find_inputs(r, offsets.data);
  const bool by_row = volume(r.window.kernel) * volume(r.window.padded) == 1;
  const Chunks chunks(sizes.rows, r.tile_rows);
  const bool fits = r.unit != nullptr && r.dac[0] != 0.0f && !by_row &&
                    fits_bytes(r.dac[1], r.dac[2], smaller(r.tile_rows, sizes.rows));
  WholeColumns columns(fits ? r.groups * sizes.panels : 1, chunks);
  const bool whole = fits && put_whole_columns(r, sizes, chunks, columns);
  const Reading reading{r, chunks, whole ? &columns : nullptr, sizes, codes, offsets.data, by_row};
  const Reading of_floats{r, chunks, nullptr, sizes, codes, offsets.data, by_row};
  const ReadParts parts = parts_of(r, sizes);
  const int64_t blocks = ceil_div(sizes.reads, kBlockRows);
  const int64_t rows = ceil_div(blocks, parts.windows) * kBlockRows, panels = ceil_div(sizes.panels, parts.panels);
  const int64_t work = sizes.rows * kPanel * rows * panels * (is_noisy(r) ? 2 : 1);
  parallel_for(r.groups * parts.windows * parts.panels, ceil_div(kMultiplyGrain, work),
               [&](int64_t begin, int64_t end) {
                 ReadMemory memory(is_noisy(r), whole, rows, panels);
                 for (int64_t t = begin; t < end; ++t) {
                   const int64_t part = t % parts.panels, some = t / parts.panels % parts.windows;
                   const int64_t first = kBlockRows * (blocks * some / parts.windows);
                   const int64_t last = smaller(sizes.reads, kBlockRows * (blocks * (some + 1) / parts.windows));
                   const ReadTask task{t / parts.panels / parts.windows, first, last,
                                       sizes.panels * part / parts.panels, sizes.panels * (part + 1) / parts.panels};
                   if (!run_read_task(reading, task, memory)) run_read_task(of_floats, task, memory);
                 }
               });
}

}  // namespace
}  // namespace memcore
