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

namespace memcore {
namespace {

constexpr int64_t kReadRows = 126 / kBlockRows * kBlockRows;  // windows of a task
constexpr int64_t kReadPanels = 8;                            // panels of a task
constexpr int64_t kDepth = 128;                               // inputs of a window that are packed together

// Adds the products of packed inputs to sums[Rows, kPanel], for kBlockCols columns; begins with zero if `anew`.
// ByRow: packed by pack_rows, else by pack_windows.
template <int Rows, bool ByRow>
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
      acc[i][0] += value * w0;
      acc[i][1] += value * w1;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    store(sums + i * kPanel, acc[i][0]);
    store(sums + i * kPanel + kLanes, acc[i][1]);
  }
}

using MultiplyPacked = void (*)(const float*, const float*, int64_t, bool, float*);

template <bool ByRow>
MultiplyPacked multiply_packed_of(int64_t rows) {
  static constexpr MultiplyPacked table[] = {
      multiply_packed<1, ByRow>,  multiply_packed<2, ByRow>,  multiply_packed<3, ByRow>,  multiply_packed<4, ByRow>,
      multiply_packed<5, ByRow>,  multiply_packed<6, ByRow>,
#if defined(__AVX512F__)
      multiply_packed<7, ByRow>,  multiply_packed<8, ByRow>,  multiply_packed<9, ByRow>,  multiply_packed<10, ByRow>,
      multiply_packed<11, ByRow>, multiply_packed<12, ByRow>, multiply_packed<13, ByRow>, multiply_packed<14, ByRow>,
#endif
  };
  return table[rows - 1];
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
  Memory<float> current, variance, sums;  // [panels, windows, kPanel]
  Memory<float> draws;                    // [windows, kPanel]
  ReadMemory(bool noisy, int64_t rows, int64_t panels)
      : windows(rows),
        reads(rows),
        packed(packed_size(rows)),
        squares(noisy ? packed_size(rows) : 1),
        current(panels * rows * kPanel),
        variance(noisy ? panels * rows * kPanel : 1),
        sums(panels * rows * kPanel),
        draws(noisy ? rows * kPanel : 1) {}
  static int64_t packed_size(int64_t rows) { return ceil_div(rows, kBlockRows) * kWide * kStride; }
};

struct Reading {
  const CrossbarRead& r;
  ReadSizes sizes;
  const float* codes;
  const int64_t* offsets;
  bool by_row;  // images are single points: what a window reads lies one after another

  // Where a block is packed that begins with a row of the task.
  int64_t place(int64_t block, int64_t row, int64_t depth) const {
    return by_row ? row * kStride : block * depth * kWide;
  }
};

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
  if (r.variance == nullptr) return;
  for (int64_t i = 0; i < reading.place(blocks, task.count(), depth); i += kLanes) {
    const Vec value = load(memory.packed.data + i);
    store(memory.squares.data + i, value * value);
  }
}

// Products of all packed inputs with one panel, sums [windows, kPanel].
inline void multiply_panel(const Reading& reading, const ReadTask& task, const float* packed, const float* panel,
                           int64_t depth, bool anew, float* sums) {
  const int64_t blocks = ceil_div(task.count(), kBlockRows);
  for (int64_t j = 0; j < kPanel; j += kBlockCols)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = task.count() * block / blocks, height = task.count() * (block + 1) / blocks - row;
      const auto multiply = reading.by_row ? multiply_packed_of<true>(height) : multiply_packed_of<false>(height);
      multiply(packed + reading.place(block, row, depth), panel + j, depth, anew, sums + row * kPanel + j);
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
  if (r.hi < r.lo) return r.variance == nullptr ? digitise<false, false> : digitise<false, true>;
  return r.variance == nullptr ? digitise<true, false> : digitise<true, true>;
}

// Adds one tile's contribution to the sums of a task.
inline void read_tile(const Reading& reading, const ReadTask& task, int64_t tile, ReadMemory& memory) {
  const CrossbarRead& r = reading.r;
  const Adc adc{splat(r.lo), splat(r.hi)};
  const int64_t first = tile * r.tile_rows, last = smaller(reading.sizes.rows, first + r.tile_rows);
  const int64_t size = task.count() * kPanel, apart = last - first > kDepth ? size : 0;
  const Digitise add = digitise_of(r);
  for (int64_t k0 = first; k0 < last; k0 += kDepth) {
    const int64_t k1 = smaller(last, k0 + kDepth);
    pack_task(reading, task, k0, k1, memory);
    for (int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
      const int64_t index = panel - task.first_panel;
      const int64_t from = ((task.group * reading.sizes.panels + panel) * reading.sizes.rows + k0) * kPanel;
      float* const current = memory.current.data + index * apart;
      float* const variance = memory.variance.data + index * apart;
      multiply_panel(reading, task, memory.packed.data, r.panels + from, k1 - k0, k0 == first, current);
      if (r.variance != nullptr)
        multiply_panel(reading, task, memory.squares.data, r.variance + from, k1 - k0, k0 == first, variance);
      if (k1 < last) continue;
      if (r.variance != nullptr) draw_panel(reading, task, panel, tile, memory.reads.data, memory.draws.data);
      add(adc, current, variance, memory.draws.data, size, memory.sums.data + index * size);
    }
  }
}

// Four columns of as many reads, to a row for each column `apart` from the next one; the bias is added.
MEMCORE_ALWAYS_INLINE void write_four(const float* sums, const float* bias, int64_t apart, float* out) {
#if defined(MEMCORE_X86)
  const __m128 more = _mm_loadu_ps(bias);
  __m128 a = _mm_add_ps(_mm_loadu_ps(sums), more), b = _mm_add_ps(_mm_loadu_ps(sums + kPanel), more);
  __m128 c = _mm_add_ps(_mm_loadu_ps(sums + 2 * kPanel), more), d = _mm_add_ps(_mm_loadu_ps(sums + 3 * kPanel), more);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(out, a);
  _mm_storeu_ps(out + apart, b);
  _mm_storeu_ps(out + 2 * apart, c);
  _mm_storeu_ps(out + 3 * apart, d);
#else
  for (int64_t j = 0; j < 4; ++j)
    for (int64_t k = 0; k < 4; ++k) out[j * apart + k] = sums[k * kPanel + j] + bias[j];
#endif
}

// Columns of reads side by side in an image, to a row for each column.
inline void write_columns(const float* sums, const float* bias, int64_t reads, int64_t width, int64_t apart,
                          float* out) {
  const int64_t whole = reads / 4 * 4, fours = width / 4 * 4;
  for (int64_t j = 0; j < fours; j += 4)
    for (int64_t k = 0; k < whole; k += 4) write_four(sums + k * kPanel + j, bias + j, apart, out + j * apart + k);
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

inline void run_read_task(const Reading& reading, const ReadTask& task, ReadMemory& memory) {
  const int64_t size = task.count() * kPanel;
  const CrossbarRead& r = reading.r;
  for (int64_t i = 0; i < task.count(); ++i) {
    memory.windows.data[i] = find_window(r, task.first + i);
    memory.reads.data[i] = r.reads == nullptr ? r.first_read + (task.first + i) * r.read_step : r.reads[task.first + i];
  }
  for (int64_t i = 0; i < (task.last_panel - task.first_panel) * size; ++i) memory.sums.data[i] = 0.0f;
  for (int64_t tile = 0; tile < reading.sizes.tiles; ++tile) read_tile(reading, task, tile, memory);
  for (int64_t panel = task.first_panel; panel < task.last_panel; ++panel)
    write_panel(r, task, panel, memory.sums.data + (panel - task.first_panel) * size);
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
  const Reading reading{r, sizes, codes, offsets.data, by_row};
  const ReadParts parts = parts_of(r, sizes);
  const int64_t blocks = ceil_div(sizes.reads, kBlockRows);
  const int64_t rows = ceil_div(blocks, parts.windows) * kBlockRows, panels = ceil_div(sizes.panels, parts.panels);
  const int64_t work = sizes.rows * kPanel * rows * panels * (r.variance == nullptr ? 1 : 2);
  parallel_for(r.groups * parts.windows * parts.panels, ceil_div(kMultiplyGrain, work),
               [&](int64_t begin, int64_t end) {
                 ReadMemory memory(r.variance != nullptr, rows, panels);
                 for (int64_t t = begin; t < end; ++t) {
                   const int64_t part = t % parts.panels, some = t / parts.panels % parts.windows;
                   const int64_t first = kBlockRows * (blocks * some / parts.windows);
                   const int64_t last = smaller(sizes.reads, kBlockRows * (blocks * (some + 1) / parts.windows));
                   const ReadTask task{t / parts.panels / parts.windows, first, last,
                                       sizes.panels * part / parts.panels, sizes.panels * (part + 1) / parts.panels};
                   run_read_task(reading, task, memory);
                 }
               });
}

}  // namespace
}  // namespace memcore
