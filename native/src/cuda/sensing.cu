// Sums of one-bit cells, 32 rows a word, each told through a table of sense amplifiers.
//
// Cells are read once, a byte each; their words, an eighth of that, stay in the second-level cache, from where each
// read takes 4 bytes a sum and 32 rows. Beside that stands an eighth of a Philox block, some 15 instructions, so that
// arithmetic and not memory takes the time. One thread owns an output and adds up unit after unit, as the processor
// does: sums are the same to the bit, whatever the numbers of the table.
#include "check.h"
#include "grid.h"
#include "memcore/philox.h"
#include "memcore/tables.h"

namespace memcore::cuda {
namespace {

constexpr int kRows = 32;         // of a word
constexpr int kHalves = 8;        // of a Philox block
constexpr int kHalfBits = 16;     // of the 24 of a uniform number
constexpr int kLowBits = 8;       // the others, which are drawn where they decide
constexpr int kLanes = 4;         // words of a block
constexpr int kSumThreads = 128;  // of a block that adds up, for more of them on a multiprocessor

struct Problem {
  SensedSums sums;
  SensedWords to;
  int64_t words;  // of a column and unit
  int shift;      // sensed is 2^shift
  float ulp;      // of the fraction of a uniform number times sensed
  bool vector;    // whether cells may be loaded four columns at a time
};

// Words ---------------------------------------------------------------------------------------------

// Bit k is set where byte k, `stride` bytes apart, is not 0.
__device__ inline uint32_t packed(const uint8_t* bytes, int64_t stride, int64_t left) {
  uint32_t word = 0;
  const int count = static_cast<int>(min(left, int64_t{kRows}));
  for (int k = 0; k < count; ++k) word |= (__ldg(bytes + k * stride) != 0 ? 1u : 0u) << k;
  return word;
}

__global__ void __launch_bounds__(kThreads) pack_bits(const Problem p) {
  const SensedSums& s = p.sums;
  for (GridWalk walk(p.words); walk.outer < s.n * s.groups * s.units; walk.next()) {
    const int64_t row = walk.inner * kRows;
    p.to.bits[walk.outer * p.words + walk.inner] = packed(s.bits + walk.outer * s.rows + row, 1, s.rows - row);
  }
}

// Neighbouring threads have neighbouring columns.
__global__ void __launch_bounds__(kThreads) pack_cells(const Problem p) {
  const SensedSums& s = p.sums;
  for (GridWalk walk(s.cols); walk.outer < s.groups * s.units * p.words; walk.next()) {
    const int64_t row = walk.outer % p.words * kRows;
    const uint8_t* const cells = s.cells + (walk.outer / p.words * s.rows + row) * s.cols + walk.inner;
    p.to.cells[walk.outer * s.cols + walk.inner] = packed(cells, s.cols, s.rows - row);
  }
}

// Draws ---------------------------------------------------------------------------------------------

// The upper bits of the uniform numbers of kPer elements, from one on, which may lie in two blocks.
template <int kPer>
__device__ inline void draw_halves(uint64_t key, uint64_t read, uint64_t element, uint32_t* halves) {
  const int shift = static_cast<int>(element % kHalves);
  const Block low = philox_block(key, element / kHalves, read);
  uint32_t w[2 * kLanes] = {low.w[0], low.w[1], low.w[2], low.w[3], 0, 0, 0, 0};
  if (shift + kPer > kHalves) {
    const Block high = philox_block(key, element / kHalves + 1, read);
#pragma unroll
    for (int i = 0; i < kLanes; ++i) w[kLanes + i] = high.w[i];
  }
#pragma unroll
  for (int i = 0; i < 2 * kLanes - 2; ++i) w[i] = shift & 4 ? w[i + 2] : w[i];
#pragma unroll
  for (int i = 0; i < 2 * kLanes - 2; ++i) w[i] = shift & 2 ? w[i + 1] : w[i];
#pragma unroll
  for (int i = 0; i < kLanes; ++i) w[i] = shift & 1 ? w[i] >> kHalfBits | w[i + 1] << kHalfBits : w[i];
#pragma unroll
  for (int i = 0; i < kPer; ++i) halves[i] = w[i / 2] >> (i % 2 * kHalfBits) & 0xFFFFu;
}

// The lower bits of the uniform number of an element, which is at a column of the table with a fraction.
__device__ inline uint32_t low_bits(uint64_t key, uint64_t read, int64_t element) {
  const auto at = static_cast<uint64_t>(kSensedLow + element);
  const Block b = philox_block(key, at / kLanes, read);
  const int lane = static_cast<int>(at % kLanes);
  const uint32_t even = lane < 2 ? b.w[0] : b.w[2], odd = lane < 2 ? b.w[1] : b.w[3];
  return (lane % 2 == 0 ? even : odd) >> (32 - kLowBits);
}

// Tells the sums of one unit and read.
struct Teller {
  const Problem& p;
  const float2* line;  // [sums, sensed] of the number of open word lines
  uint64_t read;

  __device__ float told(int sum, uint32_t half, int64_t element) const {
    const int rest = kHalfBits - p.shift;
    const uint32_t column = half >> rest, fraction = (half & ((1u << rest) - 1u)) << kLowBits;
    const float2 pair = __ldg(line + ((int64_t{sum} << p.shift) + column));
    bool kept = is_kept(fraction, pair.x);
    // One of some thousands of numbers: its upper bits leave open on which side of the threshold it lies.
    if (kept && !is_kept(fraction + (1u << kLowBits) - 1u, pair.x))
      kept = is_kept(fraction + low_bits(p.sums.key, read, element), pair.x);
    return kept ? static_cast<float>(column) : pair.y;
  }

 private:
  __device__ bool is_kept(uint32_t fraction, float threshold) const {
    return static_cast<float>(fraction) * p.ulp < threshold;  // exact
  }
};

// Sums ----------------------------------------------------------------------------------------------

template <int kPer>
__device__ inline void load_cells(const uint32_t* at, int64_t left, bool vector, uint32_t* cells) {
  if (vector && kPer % kQuad == 0 && left >= kPer) {
#pragma unroll
    for (int j = 0; j + kQuad <= kPer; j += kQuad) {
      const uint4 some = __ldg(reinterpret_cast<const uint4*>(at + j));
      cells[j] = some.x, cells[j + 1] = some.y, cells[j + 2] = some.z, cells[j + 3] = some.w;
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < kPer; ++j) cells[j] = j < left ? __ldg(at + j) : 0u;
}

// kPer columns of one read and group.
template <int kPer, bool kTells>
__global__ void __launch_bounds__(kSumThreads) add_units(const Problem p) {
  const SensedSums& s = p.sums;
  for (GridWalk walk((s.cols + kPer - 1) / kPer); walk.outer < s.n * s.groups; walk.next()) {
    const int64_t col = walk.inner * kPer, left = s.cols - col, first = walk.outer % s.groups * s.units;
    const auto read = static_cast<uint64_t>(s.reads[walk.outer / s.groups]);
    float total[kPer] = {};
    for (int64_t u = 0; u < s.units; ++u) {
      int sum[kPer] = {}, open = 0;
      for (int64_t w = 0; w < p.words; ++w) {
        const uint32_t bits = __ldg(p.to.bits + (walk.outer * s.units + u) * p.words + w);
        uint32_t cells[kPer];
        load_cells<kPer>(p.to.cells + ((first + u) * p.words + w) * s.cols + col, left, p.vector, cells);
        open += __popc(bits);
#pragma unroll
        for (int j = 0; j < kPer; ++j) sum[j] += __popc(bits & cells[j]);
      }
      if (open == 0) continue;  // 0 is told where no word line is open
      if (!kTells) {
#pragma unroll
        for (int j = 0; j < kPer; ++j) total[j] += static_cast<float>(sum[j]);
        continue;
      }
      const int64_t element = (first + u) * s.cols + col;
      const float2* const pairs = reinterpret_cast<const float2*>(p.to.pairs);
      const Teller teller = {p, pairs + (int64_t{open} * (s.lines + 1) << p.shift), read};
      uint32_t halves[kPer];
      draw_halves<kPer>(s.key, read, static_cast<uint64_t>(element), halves);
#pragma unroll
      for (int j = 0; j < kPer; ++j)
        if (j < left) total[j] += teller.told(sum[j], halves[j], element + j);
    }
#pragma unroll
    for (int j = 0; j < kPer; ++j)
      if (j < left) s.out[walk.outer * s.cols + col + j] = total[j];
  }
}

template <int kPer>
void run(const Launcher& launcher, const Problem& p) {
  const int64_t items = p.sums.n * p.sums.groups * ceil_div(p.sums.cols, kPer);
  const auto kernel = p.to.pairs == nullptr ? add_units<kPer, false> : add_units<kPer, true>;
  launcher.run(kernel, launcher.blocks(items, kSumThreads), kSumThreads, 0, p);
}

}  // namespace

void sensed_sums(const SensedSums& args, const SensedWords& words, int device, void* stream) {
  if (args.n * args.groups * args.cols == 0) return;
  const Launcher launcher("sensed_sums", device, stream);
  Problem p = {args, words,    ceil_div(args.rows, kRows),
               0,    0x1p-24f, aligned(words.cells, 16) && args.cols % kQuad == 0};
  while ((int64_t{1} << p.shift) < args.sensed) ++p.shift, p.ulp *= 2.0f;
  const int64_t lines = args.groups * args.units * p.words;
  if (lines > 0) {
    launcher.run(pack_bits, launcher.blocks(args.n * lines, kThreads), kThreads, 0, p);
    launcher.run(pack_cells, launcher.blocks(lines * args.cols, kThreads), kThreads, 0, p);
  }
  // A block of random numbers serves eight columns, where these are enough threads.
  const int64_t threads = args.n * args.groups * ceil_div(args.cols, kHalves);
  if (threads < int64_t{launcher.processors()} * kThreads)
    run<1>(launcher, p);
  else
    run<kHalves>(launcher, p);
}

}  // namespace memcore::cuda
