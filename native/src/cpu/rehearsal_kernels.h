// Reads of cells in the order of the weights, which are written on the way.
//
// A task is some outputs of one group. Their cells are written into memory of the thread, tile by tile and at most
// kDepth inputs of each together, where all inputs pass over them; what they stand for is in memory as a whole only if
// somebody asks for it. As in read_kernels.h each output of a read has its own accumulator that runs over k in order.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/rehearsal.h"
#include "memory.h"
#include "parallel.h"
#include "philox_kernels.h"
#include "read_kernels.h"
#include "rehearsal_cells.h"
#include "simd.h"
#include "whole_kernels.h"

namespace memcore {
namespace {

constexpr int64_t kTaskOutputs = kBlockRows < 14 ? 4 * kBlockRows : 2 * kBlockRows;
constexpr int64_t kAtOnce = 2048;  // reads between two writings of the same cells

struct CellsTask {
  int64_t group, first, last;  // outputs
  int64_t rows() const { return last - first; }
};

// What a thread works in.
struct CellsMemory {
  Memory<float> weight, variance;             // [chunks, rows, kStride]
  Memory<int8_t> levels;                      // [chunks, rows, kDepth]
  Memory<int32_t> offsets;                    // [chunks, rows]
  Memory<Units> units;                        // [rows]
  Memory<float> current, sigma, draws, sums;  // [rows, kPanel], draws with some more; whole currents are integers
  CellsMemory(bool noisy, bool whole, int64_t chunks)
      : weight(whole ? 1 : chunks * kTaskOutputs * kStride),
        variance(noisy ? chunks * kTaskOutputs * kStride : 1),
        levels(whole ? chunks * kTaskOutputs * kDepth : 1),
        offsets(whole ? chunks * kTaskOutputs : 1),
        units(kTaskOutputs),
        current(kTaskOutputs * kPanel),
        sigma(kTaskOutputs * kPanel),
        draws((kTaskOutputs + 6) * kPanel),
        sums(kTaskOutputs * kPanel) {}
};

inline bool is_noisy(const RehearsedRead& r) {
  return r.cells.weight == nullptr ? r.variance != nullptr : r.cells.noisy;
}

using Half [[gnu::may_alias]] = uint16_t;  // the bits of a bfloat16, where pairs of them are read as floats

// Puts variances in units of the ADC of inputs k .. k + count - 1 into the row of a chunk of `depth`.
inline void place_variance(const RehearsedRead& r, const float* variance, float square, int64_t k, int64_t count,
                           int64_t depth, float* row) {
  if (!r.narrow) {
    for (int64_t m = 0; m < count; ++m) row[k + m] = variance[m] * square;
    return;
  }
  Half* const halves = reinterpret_cast<Half*>(row);  // those of inputs 2 k and 2 k + 1 are a pair
  for (int64_t m = 0; m < count; ++m) halves[k + m] = static_cast<Half>(narrowed(variance[m] * square) >> 16);
  if (k + count == depth && depth % 2 != 0) halves[depth] = 0;
}

inline void place_pairs(const float* from, float factor, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i] * factor;
}

// Puts levels of inputs k .. k + count - 1 into a row of a chunk of `depth`, which ends with zeros, and adds up `lo`
// times their sum.
inline void place_levels(const float* pairs, int32_t lo, int64_t k, int64_t count, int64_t depth, int8_t* row,
                         int32_t& offset) {
  const int32_t before = k == 0 ? 0 : offset;
  offset = before + lo * put_bytes(pairs, count, row + k);
  if (k + count == depth)
    for (int64_t m = depth; m < ceil_div(depth, kEight) * kEight; ++m) row[m] = 0;
}

// Puts cells first .. first + count - 1 of all to where products want them, those without levels in units of the ADC.
inline void place_cells(const RehearsedRead& r, const CellsTask& task, const Chunks& chunks, bool whole, int64_t first,
                        int64_t count, const float* pairs, const float* variance, CellsMemory& memory) {
  const int64_t inputs = chunks.inputs, group = task.group * r.cells.outputs;
  const bool has_levels = levels_of(r).width != 0.0f;
  for (int64_t i = 0; i < count;) {
    const int64_t output = (first + i) / inputs - group, k = (first + i) % inputs, chunk = chunks.of(k);
    const int64_t run = smaller(count - i, chunks.last(chunk) - k);
    const Units& units = memory.units.data[output - task.first];
    const int64_t row = chunk * task.rows() + output - task.first, to = k - chunks.first(chunk);
    const int64_t depth = chunks.depth(chunk);
    if (whole)
      place_levels(pairs + i, static_cast<int32_t>(r.dac.lo), to, run, depth, memory.levels.data + row * kDepth,
                   memory.offsets.data[row]);
    else
      place_pairs(pairs + i, has_levels ? 1.0f : units.factor, run, memory.weight.data + row * kStride + to);
    if (variance != nullptr)
      place_variance(r, variance + i, units.square, to, run, depth, memory.variance.data + row * kStride);
    i += run;
  }
}

// The cells of a task, written or known already. Whether they are finite.
inline bool fetch_cells(const RehearsedRead& r, const CellsTask& task, const Chunks& chunks, bool whole,
                        CellsMemory& memory) {
  const RehearsedCells& c = r.cells;
  const int64_t before = task.group * c.outputs;
  const int64_t first = (before + task.first) * c.inputs, last = (before + task.last) * c.inputs;
  if (c.weight == nullptr) {
    const float* const variance = r.variance == nullptr ? nullptr : r.variance + first;
    place_cells(r, task, chunks, whole, first, last - first, r.pairs + first, variance, memory);
    return true;
  }
  const auto keep = [&](int64_t begin, int64_t count, const float* pairs, const float* variance) {
    if (r.levels_out != nullptr) put_bytes(pairs, count, r.levels_out + begin);
    if (r.pairs_out != nullptr) place_pairs(pairs, 1.0f, count, r.pairs_out + begin);
    if (r.variance_out != nullptr) place_pairs(variance, 1.0f, count, r.variance_out + begin);
    if (r.n > 0) place_cells(r, task, chunks, whole, begin, count, pairs, c.noisy ? variance : nullptr, memory);
  };
  return levels_of(r).width == 0.0f ? write_cells<false>(r, first, last, keep)
                                    : write_cells<true>(r, first, last, keep);
}

// What the DAC makes of reads, [groups, panels of reads, inputs, kPanel], the squares of it, and how much it is above
// the lowest code in bytes, [groups, panels of reads, chunks, inputs / 4, kPanel, 4].
struct CellsInputs {
  Memory<float> codes, squares;
  Memory<uint8_t> bytes;
  CellsInputs(int64_t panels, const Chunks& chunks, bool noisy, bool whole)
      : codes(panels * chunks.inputs * kPanel),
        squares(noisy ? panels * chunks.inputs * kPanel : 1),
        bytes(whole ? panels * chunks.count * chunks.most_bytes() : 1) {}
};

// Puts four rows into four columns of [count, kPanel].
inline void put_columns(const float* rows, int64_t apart, int64_t count, float* to) {
  int64_t k = 0;
  for (; k + 4 <= count; k += 4) transpose_four(rows + k, apart, to + k * kPanel, kPanel);
  for (; k < count; ++k)
    for (int64_t i = 0; i < 4; ++i) to[k * kPanel + i] = rows[i * apart + k];
}

// The squares of codes [inputs, kPanel]; narrow ones are in pairs, those of a chunk from where it begins.
inline void square_inputs(const RehearsedRead& r, const Chunks& chunks, const float* codes, float* squares) {
  if (!r.narrow) {
    for (int64_t i = 0; i < chunks.inputs * kPanel; i += kLanes) store(squares + i, load(codes + i) * load(codes + i));
    return;
  }
  for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    const int64_t at = chunks.first(chunk) * kPanel;
    pack_pairs(codes + at, chunks.depth(chunk), kPanel, kPanel, squares + at);
  }
}

// Puts codes [inputs, kPanel] less the lowest one into bytes, as CellsInputs has them. Whether all of them are numbers.
inline bool pack_bytes(const Chunks& chunks, float lo, const float* codes, uint8_t* bytes) {
  IntVec missing = {};
  for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    uint8_t* to = bytes + chunk * chunks.most_bytes();
    for (int64_t k = chunks.first(chunk), end = chunks.last(chunk); k < end; k += 4)
      for (int64_t i = 0; i < kPanel; i += kLanes, to += 4 * kLanes)
        store_ints(to, four_bytes(codes + k * kPanel + i, kPanel, end - k, lo, missing));
  }
  return !any(missing);
}

// Those of reads first .. last-1. Whether bytes hold all of them, if they are wanted.
inline bool pack_inputs(const RehearsedRead& r, const Chunks& chunks, bool whole, int64_t first, int64_t last,
                        const CellsInputs& packed) {
  const int64_t inputs = r.cells.inputs, groups = r.cells.groups, panels = ceil_div(last - first, kPanel);
  const bool noisy = is_noisy(r);
  const Memory<int32_t> missing(groups * panels);
  const float dac[3] = {r.dac.step == nullptr ? 0.0f : 1.0f / *r.dac.step, r.dac.lo, r.dac.hi};
  parallel_for(groups * panels, ceil_div(kLeast, inputs * kPanel), [&](int64_t begin, int64_t end) {
    const Memory<float> rows(4 * inputs);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task / panels, from = first + task % panels * kPanel, size = inputs * kPanel;
      float* const to = packed.codes.data + task * size;
      for (int64_t i = 0; i < kPanel; i += 4) {
        for (int64_t j = 0; j < 4; ++j) {
          float* const row = rows.data + j * inputs;
          if (from + i + j < last)
            convert(r.x + ((from + i + j) * groups + group) * inputs, inputs, dac, row);
          else
            for (int64_t k = 0; k < inputs; ++k) row[k] = 0.0f;
        }
        put_columns(rows.data, inputs, inputs, to + i);
      }
      if (noisy) square_inputs(r, chunks, to, packed.squares.data + task * size);
      uint8_t* const bytes = packed.bytes.data + task * chunks.count * chunks.most_bytes();
      missing.data[task] = whole && !pack_bytes(chunks, r.dac.lo, to, bytes);
    }
  });
  int32_t any_missing = 0;
  for (int64_t task = 0; task < groups * panels; ++task) any_missing |= missing.data[task];
  return whole && any_missing == 0;
}

// The numbers of the reads of a panel; what is behind them repeats the last one.
struct PanelReads {
  alignas(64) uint32_t low[kPanel], high[kPanel];
  PanelReads(const RehearsedRead& r, int64_t first, int64_t count) {
    for (int64_t i = 0; i < kPanel; ++i) {
      const uint64_t read = static_cast<uint64_t>(r.first_read + (first + smaller(i, count - 1)) * r.read_step);
      low[i] = static_cast<uint32_t>(read);
      high[i] = static_cast<uint32_t>(read >> 32);
    }
  }
};

// Counters of `wide` reads, a multiple of kLanes, of `fit` quarters of the outputs from `quarter` on.
MEMCORE_ALWAYS_INLINE void count_reads(const PanelReads& reads, uint64_t quarter, int fit, int wide, Words& words) {
  const auto put = [&](int word, int at, WordVec v) { *reinterpret_cast<WordVec*>(&words.w[word][at]) = v; };
  for (int part = 0; part < fit; ++part, ++quarter)
    for (int i = 0; i < wide; i += kLanes) {
      const int at = part * wide + i;
      put(0, at, static_cast<uint32_t>(quarter) - WordVec{});
      put(1, at, static_cast<uint32_t>(quarter >> 32) - WordVec{});
      put(2, at, *reinterpret_cast<const WordVec*>(reads.low + i));
      put(3, at, *reinterpret_cast<const WordVec*>(reads.high + i));
    }
}

// The draws of the outputs of a task in one tile for some reads. Returns where those of its first output are in `out`,
// [rows, kPanel]: four are drawn together, some of which may belong to other tasks.
inline const float* draw_outputs(const RehearsedRead& r, const CellsTask& task, int64_t tile, int64_t tiles,
                                 const PanelReads& reads, int64_t count, float* out) {
  const int64_t first = (task.group * tiles + tile) * r.cells.outputs + task.first;
  const int64_t quarter = first / 4, quarters = (first + task.rows() - 1) / 4 - quarter + 1;
  const int wide = static_cast<int>(ceil_div(count, kLanes) * kLanes), fit = kBatch / wide;
  Words words;
  for (int64_t q = 0; q < quarters; q += fit) {
    const int some = static_cast<int>(smaller(fit, quarters - q));
    count_reads(reads, static_cast<uint64_t>(quarter + q), some, wide, words);
    scramble_some(r.key, words, some * wide);
    for (int part = 0; part < some; ++part)
      put_normals(words, part * wide, wide, kPanel, out + 4 * (q + part) * kPanel);
  }
  return out + (first - 4 * quarter) * kPanel;
}

// Products of the cells of one chunk with a panel of inputs [depth, kPanel], or of pairs of both; sums [rows, kPanel].
inline void multiply_cells(const float* cells, const float* inputs, int64_t rows, int64_t depth, bool anew, bool narrow,
                           float* sums) {
  const int64_t blocks = ceil_div(rows, kBlockRows);
  for (int64_t j = 0; j < kPanel; j += kBlockCols)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = rows * block / blocks, height = rows * (block + 1) / blocks - row;
      multiply_packed_of(height, true, narrow)(cells + row * kStride, inputs + j, depth, anew, sums + row * kPanel + j);
    }
}

// Products of the levels of one chunk with a panel of bytes; sums [rows, kPanel].
inline void multiply_levels(const int8_t* levels, const int32_t* offsets, const uint8_t* bytes, int64_t rows,
                            int64_t eights, bool anew, int32_t* sums) {
  const int64_t blocks = ceil_div(rows, kWholeRows);
  for (int64_t j = 0; j < kPanel; j += kBlockCols)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = rows * block / blocks, height = rows * (block + 1) / blocks - row;
      multiply_bytes_of<false>(height)({levels + row * kDepth, kDepth, 4}, bytes + 4 * j, eights, offsets + row, anew,
                                       sums + row * kPanel + j);
    }
}

// Puts sums [rows, kPanel] over levels, integers if they are whole, into units of the ADC.
inline void scale_currents(const Units* units, int64_t rows, bool whole, float* current) {
  for (int64_t o = 0; o < rows; ++o) {
    const Vec unit = splat(units[o].current);
    for (float *at = current + o * kPanel, *end = at + kPanel; at < end; at += kLanes)
      store(at, (whole ? __builtin_convertvector(load_ints(at), Vec) : load(at)) * unit);
  }
}

inline Digitise digitise_of(const RehearsedRead& r) {
  if (r.adc.step == nullptr) return is_noisy(r) ? digitise<false, true> : digitise<false, false>;
  return is_noisy(r) ? digitise<true, true> : digitise<true, false>;
}

// Puts sums [rows, kPanel] into the unit of the outputs. The bias is added to what was rounded, as a sum of tensors
// does.
inline void finish_sums(const RehearsedRead& r, const CellsTask& task, const Units* units, float* sums) {
  for (int64_t o = 0; o < task.rows(); ++o) {
    const float scale = units[o].scale;
    for (int64_t i = 0; i < kPanel; ++i) sums[o * kPanel + i] *= scale;
  }
  if (r.bias == nullptr) return;
  const float* const bias = r.bias + task.group * r.cells.outputs + task.first;
  for (int64_t o = 0; o < task.rows(); ++o)
    for (int64_t i = 0; i < kPanel; ++i) sums[o * kPanel + i] += bias[o];
}

// Writes the sums of some reads to `count` outputs [groups, outputs].
inline void write_cells_out(const RehearsedRead& r, const CellsTask& task, int64_t first, int64_t count,
                            const float* sums) {
  const int64_t apart = r.cells.groups * r.cells.outputs, rows = task.rows();
  float* const out = r.out + first * apart + task.group * r.cells.outputs + task.first;
  const int64_t fours = rows / 4 * 4, whole = count / 4 * 4;
  for (int64_t i = 0; i < whole; i += 4)
    for (int64_t o = 0; o < fours; o += 4) transpose_four(sums + o * kPanel + i, kPanel, out + i * apart + o, apart);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t o = i < whole ? fours : 0; o < rows; ++o) out[i * apart + o] = sums[o * kPanel + i];
}

// Multiplies the cells of one chunk with a panel of inputs.
inline void multiply_chunk(const RehearsedRead& r, const CellsTask& task, const Chunks& chunks,
                           const CellsInputs& packed, bool whole, int64_t panel, int64_t chunk, CellsMemory& memory) {
  const int64_t depth = chunks.depth(chunk), row = chunk * task.rows();
  const int64_t input = (panel * chunks.inputs + chunks.first(chunk)) * kPanel;
  const bool anew = chunk % chunks.of_tile == 0;
  if (whole)
    multiply_levels(memory.levels.data + row * kDepth, memory.offsets.data + row,
                    packed.bytes.data + (panel * chunks.count + chunk) * chunks.most_bytes(), task.rows(),
                    chunks.eights(chunk), anew, reinterpret_cast<int32_t*>(memory.current.data));
  else
    multiply_cells(memory.weight.data + row * kStride, packed.codes.data + input, task.rows(), depth, anew, false,
                   memory.current.data);
  if (is_noisy(r))
    multiply_cells(memory.variance.data + row * kStride, packed.squares.data + input, task.rows(),
                   r.narrow ? ceil_div(depth, 2) : depth, anew, r.narrow, memory.sigma.data);
}

// Reads first .. first + count - 1, at most kPanel, of the outputs of a task.
inline void read_cells(const RehearsedRead& r, const CellsTask& task, const Chunks& chunks, const CellsInputs& packed,
                       bool whole, int64_t panel, int64_t first, int64_t count, CellsMemory& memory) {
  const bool noisy = is_noisy(r), has_levels = levels_of(r).width != 0.0f;
  const int64_t size = task.rows() * kPanel, tiles = ceil_div(chunks.inputs, chunks.tile_rows);
  const Adc adc{splat(r.adc.lo), splat(r.adc.hi)};
  const Digitise add = digitise_of(r);
  const PanelReads reads(r, first, count);
  for (int64_t i = 0; i < size; ++i) memory.sums.data[i] = 0.0f;
  for (int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    multiply_chunk(r, task, chunks, packed, whole, panel, chunk, memory);
    if (!chunks.ends_tile(chunk)) continue;
    if (has_levels) scale_currents(memory.units.data, task.rows(), whole, memory.current.data);
    const float* const draws =
        noisy ? draw_outputs(r, task, chunk / chunks.of_tile, tiles, reads, count, memory.draws.data) : nullptr;
    add(adc, memory.current.data, memory.sigma.data, draws, size, memory.sums.data);
  }
  finish_sums(r, task, memory.units.data, memory.sums.data);
  write_cells_out(r, task, first, count, memory.sums.data);
}

// Some reads of one task, or none: then its cells are written only.
struct CellsPart {
  int64_t first, last, from;  // panels of reads from .. from + kAtOnce - 1
};

inline bool run_cells_task(const RehearsedRead& r, const CellsTask& task, const Chunks& chunks,
                           const CellsInputs& packed, bool whole, int64_t panels, const CellsPart& part,
                           CellsMemory& memory) {
  RehearsedRead fetched = r;
  if (part.first > 0 || part.from > 0) {  // are written already
    fetched.levels_out = nullptr;
    fetched.pairs_out = fetched.variance_out = nullptr;
  }
  for (int64_t o = 0; o < task.rows(); ++o) memory.units.data[o] = units_of(r, task.first + o);
  const bool finite = fetch_cells(fetched, task, chunks, whole, memory);
  for (int64_t panel = part.first; panel < part.last; ++panel) {
    const int64_t first = part.from + panel * kPanel, count = smaller(kPanel, r.n - first);
    read_cells(r, task, chunks, packed, whole, task.group * panels + panel, first, count, memory);
  }
  return finite;
}

// Whether codes and levels are whole numbers that fit into bytes.
inline bool is_whole(const RehearsedRead& r) {
  const float levels = levels_of(r).most;
  if (r.dac.step == nullptr || levels == 0.0f || levels > kLargestLevel) return false;
  return fits_bytes(r.dac.lo, r.dac.hi, smaller(r.tile_rows, r.cells.inputs));
}

inline bool rehearsed_read(const RehearsedRead& r) {
  const Chunks chunks(r.cells.inputs, r.tile_rows);
  const int64_t outputs = r.cells.outputs, blocks = ceil_div(outputs, kTaskOutputs), tasks = r.cells.groups * blocks;
  const int64_t most = ceil_div(smaller(r.n, kAtOnce), kPanel);
  const bool may_be_whole = r.n > 0 && is_whole(r);
  const CellsInputs packed(r.cells.groups * most, chunks, is_noisy(r), may_be_whole);
  const int64_t parts = larger(1, tasks < max_threads() ? smaller(most, ceil_div(max_threads(), tasks)) : 1);
  const Memory<int32_t> spoilt(tasks * parts);
  for (int64_t i = 0; i < tasks * parts; ++i) spoilt.data[i] = 0;
  // Four numbers are drawn together: those of a task begin with the first of four.
  const auto first_output = [&](int64_t block) {
    return smaller(outputs, 4 * (ceil_div(outputs, 4) * block / blocks));
  };
  const int64_t work = chunks.inputs * kTaskOutputs * (32 + most * kPanel / parts);
  for (int64_t from = 0; from == 0 || from < r.n; from += kAtOnce) {
    const int64_t end = smaller(r.n, from + kAtOnce), panels = ceil_div(end - from, kPanel);
    const bool whole = pack_inputs(r, chunks, may_be_whole, from, end, packed);
    parallel_for(tasks * parts, ceil_div(kMultiplyGrain, work), [&](int64_t begin, int64_t last) {
      CellsMemory memory(is_noisy(r), whole, r.n > 0 ? chunks.count : 0);
      for (int64_t t = begin; t < last; ++t) {
        const int64_t block = t / parts % blocks, part = t % parts;
        const CellsTask task{t / parts / blocks, first_output(block), first_output(block + 1)};
        const CellsPart some{panels * part / parts, panels * (part + 1) / parts, from};
        if (!run_cells_task(r, task, chunks, packed, whole, panels, some, memory)) spoilt.data[t] = 1;
      }
    });
  }
  int32_t any_spoilt = 0;
  for (int64_t i = 0; i < tasks * parts; ++i) any_spoilt |= spoilt.data[i];
  return any_spoilt == 0;
}

}  // namespace
}  // namespace memcore
