// Coincidences of pulse trains. One kernel draws the bits of all lines, 32 slots a word; another one counts those that
// two lines have in common, a block for each tile of the matrix.
#include "check.h"
#include "grid.h"
#include "memcore/philox.h"
#include "memcore/pulses.h"
#include "trains.h"

namespace memcore::cuda {
namespace {

constexpr int kSlots = 32;  // of a word
constexpr int kSide = 16;   // threads of a block along each side of its tile
constexpr int kDepth = 16;  // words of a line that are in shared memory at a time
static_assert(kSide * kSide == kThreads, "one thread for each corner of a tile");

// The bits of a line in 32 slots, as TrainWords has them: where it fires (x), and where with a negative sign (y).
using Bits = uint2;

// The lines of one side.
struct Side {
  const float* probability;  // [n, groups, lines]
  int64_t lines;
  uint64_t key;
  Bits* bits;   // [groups, words, lines]
  bool vector;  // whether probabilities may be loaded four at a time
};

// The slots of a group one after the other: which vector, and which slot of its train. Beyond the last one, the vector
// is n.
class SlotWalk {
 public:
  __device__ SlotWalk(const int64_t* ends, int64_t n, int64_t slot) : ends_(ends), n_(n), slot_(slot) {
    for (int64_t count = n; count > 0;) {
      const int64_t half = count / 2;
      const bool ended = ends[vector + half] <= slot;
      vector = ended ? vector + half + 1 : vector;
      count = ended ? count - half - 1 : half;
    }
  }
  __device__ bool exists() const { return vector < n_; }
  __device__ int64_t at() const { return slot_ - (vector > 0 ? ends_[vector - 1] : 0); }
  __device__ void next() {
    ++slot_;
    while (vector < n_ && ends_[vector] <= slot_) ++vector;
  }

  int64_t vector = 0;

 private:
  const int64_t* ends_;
  int64_t n_, slot_;
};

// The uniform numbers of four elements of a read, which may lie in two blocks.
__device__ inline float4 uniform_quad(uint64_t key, uint64_t element, uint64_t read) {
  const Block low = philox_block(key, element / kQuad, read);
  uint32_t w[2 * kQuad] = {low.w[0], low.w[1], low.w[2], low.w[3]};
  const int shift = static_cast<int>(element % kQuad);
  if (shift != 0) {
    const Block high = philox_block(key, element / kQuad + 1, read);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) w[kQuad + i] = high.w[i];
#pragma unroll
    for (int i = 0; i < 2 * kQuad - 1; ++i) w[i] = shift & 1 ? w[i + 1] : w[i];
#pragma unroll
    for (int i = 0; i < kQuad; ++i) w[i] = shift & 2 ? w[i + 2] : w[i];
  }
  return {to_uniform(w[0]), to_uniform(w[1]), to_uniform(w[2]), to_uniform(w[3])};
}

__device__ inline void fire_line(float u, float p, uint32_t bit, Bits& bits) {
  const uint32_t fires = u < fabsf(p) ? bit : 0u;
  bits.x |= fires;
  bits.y |= p < 0.0f ? fires : 0u;
}

// Four lines of a group in the slots of one word.
__global__ void __launch_bounds__(kThreads) fire(Coincidences c, const int64_t* ends, int64_t words, Side side) {
  for (GridWalk walk((side.lines + kQuad - 1) / kQuad); walk.outer < c.groups * words; walk.next()) {
    const int64_t group = walk.outer / words, word = walk.outer % words;
    const int64_t line = walk.inner * kQuad, left = side.lines - line;
    Bits bits[kQuad] = {};
    SlotWalk slot(ends + group * c.n, c.n, word * kSlots);
    for (uint32_t bit = 1; bit != 0 && slot.exists(); bit <<= 1, slot.next()) {
      const float4 p =
          load_quad(side.probability + (slot.vector * c.groups + group) * side.lines + line, left, side.vector);
      const int64_t element = (slot.at() * c.groups + group) * side.lines + line;
      const float4 u =
          uniform_quad(side.key, static_cast<uint64_t>(element), static_cast<uint64_t>(c.first + slot.vector));
      fire_line(u.x, p.x, bit, bits[0]);
      fire_line(u.y, p.y, bit, bits[1]);
      fire_line(u.z, p.z, bit, bits[2]);
      fire_line(u.w, p.w, bit, bits[3]);
    }
#pragma unroll
    for (int i = 0; i < kQuad; ++i)
      if (i < left) side.bits[walk.outer * side.lines + line + i] = bits[i];
  }
}

// The words of the lines of one side of a tile, zeros where there is no line.
template <int kTile>
__device__ inline void load_words(const Side& side, int64_t first_word, int depth, int64_t first_line,
                                  Bits (*to)[kTile]) {
  for (int i = static_cast<int>(threadIdx.x); i < depth * kTile; i += kThreads) {
    const int64_t line = first_line + i % kTile;
    to[i / kTile][i % kTile] = line < side.lines ? side.bits[(first_word + i / kTile) * side.lines + line] : Bits{0, 0};
  }
}

// One tile of the matrix, kPer x kPer counts a thread, which lie kSide lines apart.
template <int kPer>
__global__ void __launch_bounds__(kThreads)
    count_tiles(Coincidences c, int64_t words, Side rows, Side cols, int64_t row_tiles, int64_t col_tiles) {
  constexpr int kTile = kSide * kPer;
  __shared__ Bits row_bits[kDepth][kTile], col_bits[kDepth][kTile];
  const int64_t group = blockIdx.x / col_tiles / row_tiles;
  const int64_t first_row = blockIdx.x / col_tiles % row_tiles * kTile, first_col = blockIdx.x % col_tiles * kTile;
  const int row = static_cast<int>(threadIdx.x) / kSide, col = static_cast<int>(threadIdx.x) % kSide;
  int both[kPer][kPer] = {}, opposite[kPer][kPer] = {};

  for (int64_t word = 0; word < words; word += kDepth) {
    const int depth = static_cast<int>(words - word < kDepth ? words - word : kDepth);
    load_words<kTile>(rows, group * words + word, depth, first_row, row_bits);
    load_words<kTile>(cols, group * words + word, depth, first_col, col_bits);
    __syncthreads();
    for (int k = 0; k < depth; ++k)
#pragma unroll
      for (int i = 0; i < kPer; ++i)
#pragma unroll
        for (int j = 0; j < kPer; ++j) {
          const Bits x = row_bits[k][row + i * kSide], d = col_bits[k][col + j * kSide];
          const uint32_t coincide = x.x & d.x;
          both[i][j] += __popc(coincide);
          opposite[i][j] += __popc(coincide & (x.y ^ d.y));
        }
    __syncthreads();  // before the words are overwritten
  }

#pragma unroll
  for (int i = 0; i < kPer; ++i)
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      const int64_t at_row = first_row + row + i * kSide, at_col = first_col + col + j * kSide;
      if (at_row >= c.inputs || at_col >= c.outputs) continue;
      const int64_t to = (group * c.inputs + at_row) * c.outputs + at_col;
      c.up[to] = static_cast<float>(opposite[i][j]);
      c.down[to] = static_cast<float>(both[i][j] - opposite[i][j]);
    }
}

int64_t tiles(const Coincidences& c, int per) {
  return c.groups * ceil_div(c.inputs, kSide * per) * ceil_div(c.outputs, kSide * per);
}

template <int kPer>
void count(const Launcher& launcher, const Coincidences& c, int64_t words, const Side& rows, const Side& cols) {
  launcher.run(count_tiles<kPer>, tiles(c, kPer), kThreads, 0, c, words, rows, cols, ceil_div(c.inputs, kSide * kPer),
               ceil_div(c.outputs, kSide * kPer));
}

Side side(const float* probability, int64_t lines, uint64_t key, uint32_t* bits) {
  const bool vector = aligned(probability, 16) && lines % kQuad == 0;
  return {probability, lines, key, reinterpret_cast<Bits*>(bits), vector};
}

void fire_side(const Launcher& launcher, const Coincidences& c, const TrainWords& t, const Side& side) {
  const int64_t items = c.groups * t.words * ceil_div(side.lines, kQuad);
  if (items > 0) launcher.run(fire, launcher.blocks(items, kThreads), kThreads, 0, c, t.ends, t.words, side);
}

Side rows_of(const Coincidences& c, const TrainWords& t) { return side(c.rows, c.inputs, c.row_key, t.rows); }
Side cols_of(const Coincidences& c, const TrainWords& t) { return side(c.cols, c.outputs, c.col_key, t.cols); }

}  // namespace

void fire_lines(const Launcher& launcher, const Coincidences& trains, const TrainWords& words) {
  fire_side(launcher, trains, words, rows_of(trains, words));
  fire_side(launcher, trains, words, cols_of(trains, words));
}

void coincidences(const Coincidences& args, const TrainWords& words, int device, void* stream) {
  const Launcher launcher("coincidences", device, stream);
  const Side rows = rows_of(args, words), cols = cols_of(args, words);
  fire_lines(launcher, args, words);
  if (tiles(args, 4) < launcher.processors())  // smaller tiles are more blocks
    count<2>(launcher, args, words.words, rows, cols);
  else
    count<4>(launcher, args, words.words, rows, cols);
}

}  // namespace memcore::cuda
