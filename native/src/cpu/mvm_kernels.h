// Crossbar product with the DAC applied while packing the input and the ADC fused into the tile loop.
//
// The input is packed once per call into blocks of at most kBlockRows batch rows. One panel of 32 columns is
// then multiplied tile by tile: a tile of the panel (16 KB at 128 rows) stays in the first-level cache while all
// blocks pass over it, a block of results stays in registers for the whole tile, is rounded and clamped there and
// added to a buffer of running sums. Each output has its own accumulator that runs over k in order, so a result
// does not depend on how the batch is blocked.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memory.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

#if defined(__AVX512F__)
constexpr int kBlockRows = 14;  // 28 accumulators of 32 registers
#else
constexpr int kBlockRows = 6;  // 12 accumulators of 16 registers
#endif
constexpr int kBlockCols = 2 * kLanes;
constexpr int64_t kChunk = 128;                  // consecutive inputs of one batch row
constexpr int64_t kStride = kChunk + 16;         // one more cache line, so that rows fall into different cache sets
constexpr int64_t kPackGrain = 64 * 1024;        // inputs, about 10 us
constexpr int64_t kMultiplyGrain = 1024 * 1024;  // multiplications, about 20 us
constexpr int64_t kTogether = 512 * 1024;        // weights that all of the batch passes over
constexpr int64_t kTaskBlocks = 252 / kBlockRows;
constexpr int64_t kTaskRows = kTaskBlocks * kBlockRows;

struct Packed {
  float* data;  // [groups, n rows in blocks], each block [chunks, its rows, kStride]
  int64_t n, blocks, chunks;

  int64_t row(int64_t block) const { return n * block / blocks; }
  float* at(int64_t group, int64_t block) const { return data + (group * n + row(block)) * chunks * kStride; }
};

// Converts one batch row; the chunks of one row are `step` floats apart.
inline void pack_row(const float* x, int64_t rows, const float* dac, int64_t step, float* out) {
  const float inverse = dac[0], lo = dac[1], hi = dac[2];
  for (int64_t k0 = 0; k0 < rows; k0 += kChunk, x += kChunk, out += step) {
    const int64_t count = smaller(kChunk, rows - k0);
    int64_t k = 0;
    if (inverse == 0.0f) {
      for (; k < count; ++k) out[k] = x[k];
      continue;
    }
    for (; k + kLanes <= count; k += kLanes)
      store(out + k, clamp(round_even(load(x + k) * inverse), splat(lo), splat(hi)));
    for (; k < count; ++k) out[k] = clamp(round_even(splat(x[k] * inverse)), splat(lo), splat(hi))[0];
  }
}

inline void pack(const CrossbarMvm& m, const Packed& packed) {
  const int64_t grain = ceil_div(kPackGrain, m.rows * kBlockRows);
  parallel_for(m.groups * packed.blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task / packed.blocks, block = task % packed.blocks;
      const int64_t first = packed.row(block), height = packed.row(block + 1) - first;
      float* const out = packed.at(group, block);
      for (int64_t i = 0; i < height; ++i)
        pack_row(m.x + ((first + i) * m.groups + group) * m.rows, m.rows, m.dac, height * kStride, out + i * kStride);
    }
  });
}

struct Adc {
  Vec lo, hi;
};

// Adds one tile's contribution (inputs k0 .. k1-1) to sums[Rows, kPanel], for Rows batch rows and kBlockCols columns.
template <int Rows, bool HasAdc>
void multiply_tile(const float* input, const float* weights, int64_t k0, int64_t k1, const Adc& adc, float* sums) {
  Vec acc[Rows][2] = {};
  while (k0 < k1) {
    const int64_t chunk = k0 / kChunk, end = smaller(k1, (chunk + 1) * kChunk);
    const float* a = input + chunk * Rows * kStride + k0 % kChunk;
    const float* w = weights + k0 * kPanel;
    for (; k0 < end; ++k0, ++a, w += kPanel) {
      const Vec w0 = load(w), w1 = load(w + kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const Vec ai = splat(a[i * kStride]);
        acc[i][0] += ai * w0;
        acc[i][1] += ai * w1;
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      float* const sum = sums + i * kPanel + j * kLanes;
      Vec code = acc[i][j];
      if (HasAdc) code = clamp(round_even(code), adc.lo, adc.hi);
      store(sum, load(sum) + code);
    }
  }
}

using MultiplyTile = void (*)(const float*, const float*, int64_t, int64_t, const Adc&, float*);

template <bool HasAdc>
struct MultiplyTable {
  static MultiplyTile of(int64_t rows) {
    static constexpr MultiplyTile table[] = {
        multiply_tile<1, HasAdc>,  multiply_tile<2, HasAdc>,  multiply_tile<3, HasAdc>,  multiply_tile<4, HasAdc>,
        multiply_tile<5, HasAdc>,  multiply_tile<6, HasAdc>,
#if defined(__AVX512F__)
        multiply_tile<7, HasAdc>,  multiply_tile<8, HasAdc>,  multiply_tile<9, HasAdc>,  multiply_tile<10, HasAdc>,
        multiply_tile<11, HasAdc>, multiply_tile<12, HasAdc>, multiply_tile<13, HasAdc>, multiply_tile<14, HasAdc>,
#endif
    };
    return table[rows - 1];
  }
};

// Where one task writes: one panel of one group, and some blocks of the batch.
struct Task {
  int64_t group, panel, first_block, last_block;
};

inline void finish(const CrossbarMvm& m, const Task& task, int64_t row, int64_t height, float* sums) {
  const int64_t first = task.group * m.cols + task.panel * kPanel;
  const int64_t width = smaller(kPanel, m.cols - task.panel * kPanel);
  float scale[kPanel] = {}, bias[kPanel] = {};
  for (int64_t j = 0; j < width; ++j) scale[j] = m.scale[m.scale_size == 1 ? 0 : first + j];
  for (int64_t j = 0; j < width && m.bias != nullptr; ++j) bias[j] = m.bias[first + j];
  // The bias is added to what was rounded, as a sum of tensors does.
  for (int64_t i = 0; i < height; ++i)
    for (int64_t j = 0; j < kPanel; ++j) sums[i * kPanel + j] *= scale[j];
  for (int64_t i = 0; i < height; ++i) {
    float* const out = m.out + (row + i) * m.groups * m.cols + first;
    const float* const sum = sums + i * kPanel;
    if (width == kPanel) {
      for (int64_t j = 0; j < kPanel; ++j) out[j] = sum[j] + bias[j];
    } else {
      for (int64_t j = 0; j < width; ++j) out[j] = sum[j] + bias[j];
    }
  }
}

template <bool HasAdc>
void run_task(const CrossbarMvm& m, const Packed& packed, const Task& task, float* sums) {
  const Adc adc{splat(m.lo), splat(m.hi)};
  const int64_t row = packed.row(task.first_block), end = packed.row(task.last_block);
  for (int64_t i = 0; i < (end - row) * kPanel; ++i) sums[i] = 0.0f;
  const float* const panel = m.panels + (task.group * ceil_div(m.cols, kPanel) + task.panel) * m.rows * kPanel;
  for (int64_t k0 = 0; k0 < m.rows; k0 += m.tile_rows) {
    const int64_t k1 = smaller(m.rows, k0 + m.tile_rows);
    for (int64_t j = 0; j < kPanel; j += kBlockCols) {
      for (int64_t block = task.first_block; block < task.last_block; ++block) {
        const int64_t first = packed.row(block);
        const MultiplyTile multiply = MultiplyTable<HasAdc>::of(packed.row(block + 1) - first);
        multiply(packed.at(task.group, block), panel + j, k0, k1, adc, sums + (first - row) * kPanel + j);
      }
    }
  }
  finish(m, task, row, end - row, sums);
}

// As few parts of the batch as the buffer of sums allows, but enough tasks for all threads.
inline int64_t batch_parts(const CrossbarMvm& m, int64_t blocks, int64_t panels) {
  const int64_t needed = ceil_div(blocks, kTaskBlocks);
  const int64_t wanted = ceil_div(2 * max_threads(), m.groups * panels);
  return m.groups * panels % max_threads() == 0 ? needed : smaller(blocks, larger(needed, wanted));
}

// The order of tasks: some panels, which stay in a cache together, take each part of the batch one after another while
// that part does too.
struct Turns {
  int64_t panels, parts, together;

  Task at(int64_t t, int64_t blocks) const {
    const int64_t group = t / (panels * parts), here = t % (panels * parts);
    const int64_t first = here / (together * parts) * together, width = smaller(together, panels - first);
    const int64_t rest = here - first * parts, part = rest / width;
    return {group, first + rest % width, blocks * part / parts, blocks * (part + 1) / parts};
  }
};

inline void crossbar_mvm(const CrossbarMvm& m) {
  if (m.n == 0) return;
  const int64_t blocks = ceil_div(m.n, kBlockRows), chunks = ceil_div(m.rows, kChunk);
  const int64_t panels = ceil_div(m.cols, kPanel), parts = batch_parts(m, blocks, panels);
  const Memory<float> memory(m.groups * m.n * chunks * kStride);
  const Packed packed{memory.data, m.n, blocks, chunks};
  pack(m, packed);
  const Turns turns{panels, parts, larger(1, kTogether / (m.rows * kPanel))};
  const int64_t work = m.rows * kPanel * ceil_div(m.n, parts);
  parallel_for(m.groups * panels * parts, ceil_div(kMultiplyGrain, work), [&](int64_t begin, int64_t end) {
    const Memory<float> sums(kTaskRows * kPanel);
    for (int64_t t = begin; t < end; ++t) {
      const Task task = turns.at(t, blocks);
      if (m.hi < m.lo)
        run_task<false>(m, packed, task, sums.data);
      else
        run_task<true>(m, packed, task, sums.data);
    }
  });
}

}  // namespace
}  // namespace memcore
