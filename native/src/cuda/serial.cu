// Whole numbers digit by digit: one kernel makes words of the digits of four rows, another one multiplies them with the
// numbers of four cells, four products and their sum an instruction.
//
// The tables of the processor are read for the numbers in them: 4 bytes a cell, as a matrix of floats has, once for
// each block of reads. From some tens of reads on, instructions are what takes the time, and a word serves 64 columns.
// All sums are integers and exact; the ADC and the digital adder round as the processor's do, so that results are the
// same to the bit.
#include "check.h"
#include "grid.h"
#include "memcore/serial.h"

namespace memcore::cuda {
namespace {

constexpr int kColLanes = 16;  // threads of a block along the columns, kQuad columns each
constexpr int kCols = kColLanes * kQuad;
constexpr int kWords = 8;            // of a thread, the slots of one read or several
constexpr int kDepth = 16;           // quads of rows in shared memory at a time
constexpr int kFew = 4, kMany = 16;  // threads of a block along the reads
constexpr int kTableWords = 4;       // 32-bit words of a table of 16 bytes
constexpr uint32_t kOnes = 0x01010101u;

// How codes become digits, and what these count for.
struct Phases {
  int32_t weight[kMostPlanes];
  float place[kMostPlanes];
  uint8_t source[kMostPlanes], bit[kMostPlanes];
  uint8_t first[kMostPlanes + 1];  // plane of each phase
};

struct Problem {
  SerialRead read;
  SerialWords to;
  Phases phases;
  int64_t quads, all_quads;  // of a tile, and of all of them
  int64_t start, count;      // of the reads of this piece
  int64_t read_blocks, col_blocks;
  bool vector_x, vector_tables, vector_words, vector_out;
};

// Digits -------------------------------------------------------------------------------------------

__device__ inline int32_t source_of(int32_t code, int source, int32_t lowest) {
  switch (source) {
    case BitPlane::kPositive:
      return max(code, 0);
    case BitPlane::kNegative:
      return max(-code, 0);
    case BitPlane::kTwosComplement:
      return code < 0 ? code - lowest : code;
    default:
      return code < 0 ? 1 : 0;
  }
}

__device__ inline int32_t digit_of(const Phases& p, int64_t phase, int32_t code, int32_t lowest) {
  int32_t digit = 0;
  for (int b = p.first[phase]; b < p.first[phase + 1]; ++b)
    digit += p.weight[b] * (source_of(code, p.source[b], lowest) >> p.bit[b] & 1);
  return digit;
}

// The digits of four rows in one slot.
__device__ inline uint32_t word_of(const Problem& p, int64_t slot, const int32_t* codes) {
  const int64_t phase = p.to.wide ? slot / 2 : slot;
  if (phase >= p.read.phases) return 0;
  uint32_t word = 0;
#pragma unroll
  for (int k = 0; k < kQuad; ++k) {
    const int32_t digit = digit_of(p.phases, phase, codes[k], static_cast<int32_t>(p.read.dac_lo));
    const int32_t above = (digit - static_cast<int8_t>(digit)) / 256;
    word |= (static_cast<uint32_t>(p.to.wide && slot % 2 == 1 ? above : digit) & 255u) << 8 * k;
  }
  return word;
}

__device__ inline int32_t code_of(const SerialRead& r, float step, float v) {
  return v == v ? static_cast<int32_t>(round_and_clamp(__fdiv_rn(v, step), r.dac_lo, r.dac_hi)) : 0;
}

// Four rows of one read; neighbouring threads have neighbouring reads, so that they write side by side.
__global__ void __launch_bounds__(kThreads) pack(const Problem p) {
  const SerialRead& r = p.read;
  const float step = *r.step;
  for (GridWalk walk(p.count); walk.outer < r.groups * p.all_quads; walk.next()) {
    const int64_t group = walk.outer / p.all_quads, quad = walk.outer % p.all_quads;
    const int64_t inside = quad % p.quads * kQuad, row = quad / p.quads * r.tile_rows + inside;
    const int64_t left = min(r.tile_rows - inside, r.rows - row), read = p.start + walk.inner;
    const float4 x = load_quad(r.x + (read * r.groups + group) * r.rows + row, left, p.vector_x);
    const int32_t codes[kQuad] = {left > 0 ? code_of(r, step, x.x) : 0, left > 1 ? code_of(r, step, x.y) : 0,
                                  left > 2 ? code_of(r, step, x.z) : 0, left > 3 ? code_of(r, step, x.w) : 0};
    if (x.x != x.x || x.y != x.y || x.z != x.z || x.w != x.w) p.to.invalid[group * r.n + read] = 1;
    int32_t* const to = p.to.words + (walk.outer * p.count + walk.inner) * p.to.slots;
    for (int64_t slot = 0; slot < p.to.slots; slot += kQuad) {
      uint32_t word[kQuad];
#pragma unroll
      for (int j = 0; j < kQuad; ++j) word[j] = word_of(p, slot + j, codes);
      const uint4 some = {word[0], word[1], word[2], word[3]};
      store_quad(reinterpret_cast<uint32_t*>(to) + slot, some, p.to.slots - slot, p.vector_words);
    }
  }
}

// Products -----------------------------------------------------------------------------------------

template <int kLanes>
struct Stage {
  uint4 words[kDepth][kLanes * kWords / kQuad];
  uint4 cells[kDepth][kColLanes + 1];  // four rows of four columns; the pad keeps quads on different banks
};

// Where a block is. With kSlots slots to a read, it has kLanes * kWords / kSlots reads.
struct Place {
  int64_t group, first_read, first_col;

  __device__ Place(const Problem& p, int reads)
      : group(blockIdx.x / p.col_blocks / p.read_blocks),
        first_read(blockIdx.x / p.col_blocks % p.read_blocks * reads),
        first_col(blockIdx.x % p.col_blocks * kCols) {}
};

// The first `left` of four words, zeros for the others.
__device__ inline uint4 load_words(const uint32_t* at, int64_t left, bool vector) {
  if (vector && left >= kQuad) return __ldg(reinterpret_cast<const uint4*>(at));
  uint4 words = {0, 0, 0, 0};
  if (left > 0) words.x = __ldg(at);
  if (left > 1) words.y = __ldg(at + 1);
  if (left > 2) words.z = __ldg(at + 2);
  if (left > 3) words.w = __ldg(at + 3);
  return words;
}

// The numbers of four cells, a byte each: what their table has for each row alone, less what it has for none.
__device__ inline uint32_t numbers_of(const uint4& table) {
  const uint32_t alone = (table.x >> 8 & 0xFFFFu) | (table.y & 255u) << 16 | table.z << 24;
  return __vsub4(alone, (table.x & 255u) * kOnes);
}

// Quads begin .. begin + depth - 1 of all tiles, all threads together.
template <int kSlots, int kLanes>
__device__ inline void load(const Problem& p, const Place& at, int64_t chunk, int64_t begin, int depth,
                            Stage<kLanes>& to) {
  constexpr int kAcross = kLanes * kWords / kQuad, kThreads = kLanes * kColLanes;
  const int thread = static_cast<int>(threadIdx.x);
  const uint32_t* const words = reinterpret_cast<const uint32_t*>(p.to.words);
  for (int i = thread; i < depth * kAcross; i += kThreads) {
    const int word = i % kAcross * kQuad;
    const int64_t line = (at.group * p.all_quads + begin + i / kAcross) * p.count + at.first_read;
    const int64_t reads = p.count - at.first_read - word / kSlots;
    const int64_t left = kSlots < kQuad ? reads * kSlots - word % kSlots : (reads > 0 ? kQuad : 0);
    const int64_t from = (line + word / kSlots) * p.to.slots + chunk * kSlots + word % kSlots;
    to.words[i / kAcross][i % kAcross] = load_words(words + from, left, p.vector_words);
  }
  uint32_t* const cells = reinterpret_cast<uint32_t*>(to.cells);
  const int64_t beside = (p.read.cols + kQuad - 1) / kQuad, first = at.first_col / kQuad;
  for (int i = thread; i < kColLanes * kDepth * kQuad; i += kThreads) {
    const int lane = i / (kDepth * kQuad), inside = i % (kDepth * kQuad);
    if (inside / kQuad >= depth) continue;
    const int64_t line = (at.group * beside + first + lane) * p.all_quads + begin;
    const bool exists = first + lane < beside;
    const uint32_t* const tables = reinterpret_cast<const uint32_t*>(p.read.tables);
    const uint4 table = load_words(tables + (line * kQuad + inside) * kTableWords, exists ? kQuad : 0, p.vector_tables);
    cells[(inside / kQuad * (kColLanes + 1) + lane) * kQuad + inside % kQuad] = numbers_of(table);
  }
}

// One thread's outputs, of kWords / kSlots reads and kQuad columns.
template <int kSlots, bool kIsWide, int kLanes>
class Outputs {
 public:
  static constexpr int kReads = kWords / kSlots;
  static constexpr int kStep = kIsWide ? 2 : 1;  // words of a phase

  __device__ Outputs(const Problem& problem, const Place& place)
      : problem_(problem), place_(place), left_(problem.quads), first_col_(place.first_col + col() * kQuad) {}

  // Quads of one stage, which may lie in several tiles.
  __device__ __forceinline__ void multiply(const Stage<kLanes>& stage, int depth) {
    for (int k = 0; k < depth; ++k) {
      const uint4 low = stage.words[k][2 * lane()], high = stage.words[k][2 * lane() + 1], w = stage.cells[k][col()];
      const uint32_t words[kWords] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
      const uint32_t cells[kQuad] = {w.x, w.y, w.z, w.w};
#pragma unroll
      for (int i = 0; i < kWords; ++i) {
#pragma unroll
        for (int j = 0; j < kQuad; ++j) sums_[i][j] = products(words[i], cells[j], sums_[i][j]);
        if (problem_.read.base != nullptr) opened_[i] = products(words[i], kOnes, opened_[i]);
      }
      if (--left_ == 0) close_tile();
    }
  }

  // The end of some phases: the digital adder puts their codes together.
  __device__ __forceinline__ void close_phases(int64_t first) {
#pragma unroll
    for (int i = 0; i < kWords; i += kStep) {
      const int64_t phase = first + i % kSlots / kStep;
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        const float y = __fmul_rn(place_of(phase), __fmul_rn(scale(j), totals_[i][j]));
        if (phase < problem_.read.phases) y_[i / kSlots][j] = __fadd_rn(y_[i / kSlots][j], y);
        totals_[i][j] = 0.0f;
      }
    }
  }

  __device__ void write() const {
    const SerialRead& r = problem_.read;
#pragma unroll
    for (int i = 0; i < kReads; ++i) {
      const int64_t here = place_.first_read + lane() * kReads + i, read = problem_.start + here;
      if (here >= problem_.count || first_col_ >= r.cols) continue;
      const float nan = problem_.to.invalid[place_.group * r.n + read] != 0 ? nanf("") : 0.0f;
      const float4 y = {y_[i][0] + nan, y_[i][1] + nan, y_[i][2] + nan, y_[i][3] + nan};
      float* const to = r.out + (read * r.groups + place_.group) * r.cols + first_col_;
      store_quad(to, y, r.cols - first_col_, problem_.vector_out);
    }
  }

 private:
  __device__ static int col() { return static_cast<int>(threadIdx.x) % kColLanes; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) / kColLanes; }
  __device__ static int32_t products(uint32_t a, uint32_t b, int32_t sum) {
    return __dp4a(static_cast<int32_t>(a), static_cast<int32_t>(b), sum);
  }
  // Of a column, the last one where it does not exist.
  __device__ int64_t column(int j) const { return min(first_col_ + j, problem_.read.cols - 1); }
  __device__ float place_of(int64_t phase) const {
    return problem_.phases.place[phase < problem_.read.phases ? phase : 0];
  }
  __device__ float scale(int j) const {
    const SerialRead& r = problem_.read;
    return __ldg(r.scale + (r.scale_size == 1 ? 0 : place_.group * r.cols + column(j)));
  }

  // Converts the sums of a tile and adds their codes up.
  __device__ __forceinline__ void close_tile() {
    const SerialRead& r = problem_.read;
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const float factor = __ldg(r.factor + column(j)), base = r.base == nullptr ? 0.0f : __ldg(r.base + column(j));
#pragma unroll
      for (int i = 0; i < kWords; i += kStep) {
        float value = static_cast<float>(number(sums_[i][j], sums_[i + kStep - 1][j]));
        if (r.base != nullptr)
          value = __fadd_rn(value, __fmul_rn(static_cast<float>(number(opened_[i], opened_[i + kStep - 1])), base));
        totals_[i][j] = __fadd_rn(totals_[i][j], round_and_clamp(__fmul_rn(value, factor), r.lo, r.hi));
      }
    }
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      opened_[i] = 0;
#pragma unroll
      for (int j = 0; j < kQuad; ++j) sums_[i][j] = 0;
    }
    left_ = problem_.quads;
  }

  __device__ static int32_t number(int32_t low, int32_t high) { return kIsWide ? low + 256 * high : low; }

  const Problem& problem_;
  const Place& place_;
  int64_t left_;  // quads of the open tile
  const int64_t first_col_;
  int32_t sums_[kWords][kQuad] = {};  // of the open tile
  int32_t opened_[kWords] = {};       // sums of its digits
  float totals_[kWords][kQuad] = {};  // of the closed ones
  float y_[kReads][kQuad] = {};
};

template <int kSlots, bool kIsWide, int kLanes>
__global__ void __launch_bounds__(kLanes* kColLanes, 2) multiply_digits(const Problem problem) {
  __shared__ Stage<kLanes> stage;
  const Place place(problem, kLanes * kWords / kSlots);
  Outputs<kSlots, kIsWide, kLanes> outputs(problem, place);
  const int64_t chunks = kSlots < kWords ? 1 : problem.to.slots / kSlots;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    for (int64_t begin = 0; begin < problem.all_quads; begin += kDepth) {
      const int depth = static_cast<int>(min(int64_t{kDepth}, problem.all_quads - begin));
      __syncthreads();  // the quads before are multiplied
      load<kSlots, kLanes>(problem, place, chunk, begin, depth, stage);
      __syncthreads();
      outputs.multiply(stage, depth);
    }
    outputs.close_phases(chunk * kSlots / outputs.kStep);
  }
  outputs.write();
}

// Launches -----------------------------------------------------------------------------------------

template <int kSlots, bool kIsWide, int kLanes>
void run_blocks(const Launcher& launcher, Problem problem) {
  problem.read_blocks = ceil_div(problem.count, kLanes * kWords / kSlots);
  const int64_t blocks = problem.read.groups * problem.col_blocks * problem.read_blocks;
  launcher.run(multiply_digits<kSlots, kIsWide, kLanes>, blocks, kLanes * kColLanes, 0, problem);
}

template <int kSlots, bool kIsWide>
void run(const Launcher& launcher, const Problem& problem) {
  const int64_t large = ceil_div(problem.count, kMany * kWords / kSlots) * problem.col_blocks * problem.read.groups;
  if (large < 2 * launcher.processors())
    run_blocks<kSlots, kIsWide, kFew>(launcher, problem);
  else
    run_blocks<kSlots, kIsWide, kMany>(launcher, problem);
}

void run_any(const Launcher& launcher, const Problem& problem) {
  if (problem.to.wide) return run<8, true>(launcher, problem);
  switch (problem.to.slots) {
    case 1:
      return run<1, false>(launcher, problem);
    case 2:
      return run<2, false>(launcher, problem);
    case 4:
      return run<4, false>(launcher, problem);
    default:
      return run<8, false>(launcher, problem);
  }
}

Phases phases_of(const SerialRead& r) {
  Phases p = {};
  for (int64_t b = 0; b < r.plane_count; ++b) {
    p.weight[b] = static_cast<int32_t>(r.planes[b].weight);
    p.source[b] = static_cast<uint8_t>(r.planes[b].source);
    p.bit[b] = static_cast<uint8_t>(r.planes[b].bit);
    ++p.first[r.planes[b].phase + 1];
  }
  for (int64_t k = 0; k < r.phases; ++k) {
    p.first[k + 1] = static_cast<uint8_t>(p.first[k + 1] + p.first[k]);
    p.place[k] = r.places[k];
  }
  return p;
}

}  // namespace

void serial_read(const SerialRead& args, const SerialWords& words, int device, void* stream) {
  if (args.n == 0) return;
  const Launcher launcher("serial_read", device, stream);
  Problem problem = {};
  problem.read = args, problem.to = words, problem.phases = phases_of(args);
  problem.quads = ceil_div(args.tile_rows, kQuad);
  problem.all_quads = ceil_div(args.rows, args.tile_rows) * problem.quads;
  problem.col_blocks = ceil_div(args.cols, kCols);
  problem.vector_x = aligned(args.x, 16) && args.rows % kQuad == 0 && args.tile_rows % kQuad == 0;
  problem.vector_tables = aligned(args.tables, 16);
  problem.vector_words = aligned(words.words, 16) && words.slots % kQuad == 0;
  problem.vector_out = aligned(args.out, 16) && args.cols % kQuad == 0;
  for (; problem.start < args.n; problem.start += words.together) {
    const int64_t left = args.n - problem.start;
    problem.count = left < words.together ? left : words.together;
    const int64_t items = args.groups * problem.all_quads * problem.count;
    launcher.run(pack, launcher.blocks(items, kThreads), kThreads, 0, problem);
    run_any(launcher, problem);
  }
}

}  // namespace memcore::cuda
