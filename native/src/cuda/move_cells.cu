// Cells of a training in place, moved by pulses in one pass over memory: a thread counts the coincidences of four
// neighbouring cells of a word line, says which pulses come first, and runs the recorded device for each part.
//
// What has to move is a state that is read and written, and a conductance, some 20 bytes a cell; single operations of
// tensors would take 12 bytes for each instruction of the device, of which there are tens to hundreds. What takes the
// time is to decode them, hence four cells a thread. Nothing is as large as the matrix but the cells themselves.
#include "check.h"
#include "grid.h"
#include "interpreter.h"
#include "memcore/philox.h"
#include "memcore/pulses.h"
#include "trains.h"

namespace memcore::cuda {
namespace {

constexpr int64_t kCoins = 128;  // bits of a block of random numbers
constexpr int kSums = 4;

struct Problem {
  CellMoves moves;
  int64_t quads;  // of a word line
  bool vector;    // whether cells may be loaded and stored four at a time
};

// Four cells of a word line of a part, and the weights that they carry.
struct Place {
  int64_t line, col;                   // of the arrays
  int64_t cells;                       // how many of the four there are
  int64_t group, row;                  // of the first weight
  int64_t weight_col, first, weights;  // its column, its number, and how many there are

  __device__ Place(const Problem& p) {
    const PulseOrder& o = p.moves.order;
    const int64_t item = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    line = item / p.quads, col = item % p.quads * kQuad;
    cells = line < o.end ? min(int64_t{kQuad}, o.array_cols - col) : 0;
    const int64_t row_tiles = (o.rows + o.array_rows - 1) / o.array_rows;
    const int64_t col_tiles = (o.cols + o.data_cols - 1) / o.data_cols;
    const int64_t array = line / o.array_rows, tile = array / col_tiles;
    group = tile / row_tiles;
    row = tile % row_tiles * o.array_rows + line % o.array_rows;
    weight_col = array % col_tiles * o.data_cols + col;
    first = (group * o.rows + row) * o.cols + weight_col;
    const int64_t left = min(o.data_cols - col, o.cols - weight_col);
    weights = cells == 0 || row >= o.rows ? 0 : max(int64_t{0}, min(int64_t{kQuad}, left));
  }
};

struct Counts {
  float up[kQuad], down[kQuad];
};

__device__ inline Counts coincidences_of(const CellMoves& m, const Place& at) {
  int both[kQuad] = {}, opposite[kQuad] = {};
  const uint2* rows =
      reinterpret_cast<const uint2*>(m.words.rows) + at.group * m.words.words * m.trains.inputs + at.row;
  const uint2* cols =
      reinterpret_cast<const uint2*>(m.words.cols) + at.group * m.words.words * m.trains.outputs + at.weight_col;
  for (int64_t w = 0; w < m.words.words; ++w, rows += m.trains.inputs, cols += m.trains.outputs) {
    const uint2 x = __ldg(rows);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
      if (i >= at.weights) continue;
      const uint2 d = __ldg(cols + i);
      both[i] += __popc(x.x & d.x);
      opposite[i] += __popc(x.x & d.x & (x.y ^ d.y));
    }
  }
  Counts out;
  for (int i = 0; i < kQuad; ++i) {
    out.up[i] = static_cast<float>(opposite[i]);
    out.down[i] = static_cast<float>(both[i] - opposite[i]);
  }
  return out;
}

// Numbers of pulses, zeros where there is no weight.
__device__ inline Counts counts_of(const CellMoves& m, const Place& at) {
  Counts out = {};
  if (at.weights > 0 && m.words.words > 0) return coincidences_of(m, at);
  if (m.words.words > 0 || m.trains.up == nullptr) return out;
  for (int i = 0; i < kQuad; ++i) {
    if (i >= at.weights) continue;
    out.up[i] = __ldg(m.trains.up + at.first + i), out.down[i] = __ldg(m.trains.down + at.first + i);
  }
  return out;
}

// Signed pulses that come first; those that follow are up - down less these.
struct Ordered {
  float first[kQuad];
  bool some;  // whether there are any pulses
};

__device__ inline bool coin_of(const PulseOrder& o, int64_t weight) {
  const Block b = philox_block(o.key, static_cast<uint64_t>(weight / kCoins), static_cast<uint64_t>(o.read));
  const int word = static_cast<int>(weight / 32 % 4);
  const uint32_t low = word % 2 == 0 ? b.w[0] : b.w[1], high = word % 2 == 0 ? b.w[2] : b.w[3];
  return (word < 2 ? low : high) >> (weight % 32) & 1u;
}

__device__ inline Ordered ordered(const PulseOrder& o, const Place& at, const Counts& counts) {
  Ordered out = {};
  for (int i = 0; i < kQuad; ++i) {
    const float up = counts.up[i], down = counts.down[i];
    out.some |= up > 0.0f || down > 0.0f;
    out.first[i] = up - down;
    if (up > 0.0f && down > 0.0f) out.first[i] = coin_of(o, at.first + i) ? up : -down;
  }
  return out;
}

// What a thread adds to the sums: cells that take pulses both ways, pulses, and conductances at those of each
// direction.
struct ThreadSums {
  double v[kSums];

  __device__ void add(const Counts& counts, const float4& conductance, bool opposite) {
    const float g[kQuad] = {conductance.x, conductance.y, conductance.z, conductance.w};
    for (int i = 0; i < kQuad; ++i) {
      const float up = counts.up[i], down = counts.down[i];
      v[0] += up > 0.0f && down > 0.0f ? 1.0 : 0.0;
      v[1] += static_cast<double>(up + down);
      v[2] += static_cast<double>(g[i] * (opposite ? down : up));
      v[3] += static_cast<double>(g[i] * (opposite ? up : down));
    }
  }
};

__device__ inline void load_cells(const Problem& p, const Place& at, int64_t cell, const Memory& memory) {
  const RecordedModel& m = p.moves.model;
  const auto state = static_cast<uint32_t>(m.n_registers), params = static_cast<uint32_t>(state + m.n_state);
  for (uint32_t k = 0; k + 1 < m.n_state; ++k)
    memory.row(state + k) = load_quad(p.moves.state[k] + cell, at.cells, p.vector);
  for (uint32_t k = 0; k < m.n_params; ++k)
    memory.row(params + k) = load_quad(reinterpret_cast<const float*>(m.params[k]) + cell, at.cells, p.vector);
}

__device__ inline void load_pulses(const RecordedModel& m, const Counts& counts, const Ordered& order, bool opposite,
                                   const Memory& memory) {
  float ahead[kQuad], behind[kQuad];
  for (int i = 0; i < kQuad; ++i) {
    const float rest = counts.up[i] - counts.down[i] - order.first[i];
    ahead[i] = opposite ? -order.first[i] : order.first[i];
    behind[i] = opposite ? -rest : rest;
  }
  const auto last = static_cast<uint32_t>(m.n_registers + m.n_state - 1);
  memory.row(last) = {behind[0], behind[1], behind[2], behind[3]};
  memory.row(last + 1 + static_cast<uint32_t>(m.n_params)) = {ahead[0], ahead[1], ahead[2], ahead[3]};
}

__device__ inline void store_cells(const Problem& p, const Place& at, int64_t cell, const Memory& memory) {
  const RecordedModel& m = p.moves.model;
  const auto state = static_cast<uint32_t>(m.n_registers);
  for (uint32_t k = 0; k + 1 < m.n_state; ++k)
    store_quad(p.moves.state[k] + cell, memory.row(state + k), at.cells, p.vector);
  store_quad(p.moves.conductance + cell, memory.row(state + static_cast<uint32_t>(m.n_state) - 1), at.cells, p.vector);
}

// Writes the sums of a block, in the order of its threads; the numbers of cells are not needed any more.
__device__ inline void write_sums(const ThreadSums& own, float* shared, double* to) {
  double* const all = reinterpret_cast<double*>(shared);
  __syncthreads();
  for (int k = 0; k < kSums; ++k) all[threadIdx.x * kSums + k] = own.v[k];
  __syncthreads();
  if (threadIdx.x >= kSums) return;
  double sum = 0.0;
  for (unsigned i = 0; i < blockDim.x; ++i) sum += all[i * kSums + threadIdx.x];
  to[int64_t{blockIdx.x} * kSums + threadIdx.x] = sum;
}

__global__ void __launch_bounds__(kMoveThreads) move_lines(const Problem p) {
  extern __shared__ __align__(16) float shared[];
  const CellMoves& m = p.moves;
  const Memory memory(m.model, shared);
  prepare(m.model, memory);
  const Place at(p);
  const Counts counts = counts_of(m, at);
  const Ordered order = ordered(m.order, at, counts);
  ThreadSums sums = {};
  if (__any_sync(kWholeWarp, order.some || m.always)) {
    for (int64_t part = 0; part < m.parts; ++part) {
      const int64_t cell = (part * m.order.end + at.line) * m.order.array_cols + at.col;
      const bool opposite = m.opposite >> part & 1u;
      if (order.some) sums.add(counts, load_quad(m.order.conductance + cell, at.cells, p.vector), opposite);
      load_cells(p, at, cell, memory);
      load_pulses(m.model, counts, order, opposite, memory);
      const Drawn drawn = {m.first_step, cell};
      Interpreter(m.model, memory, drawn).run();
      store_cells(p, at, cell, memory);
    }
  }
  write_sums(sums, shared, m.order.sums);
}

// Whether all numbers of cells lie at multiples of 16 bytes, as parameters do.
bool vector_of(const CellMoves& m) {
  bool vector = m.order.array_cols % kQuad == 0 && aligned(m.conductance, 16);
  for (int64_t k = 0; k + 1 < m.model.n_state; ++k) vector = vector && aligned(m.state[k], 16);
  return vector;
}

}  // namespace

void move_cells(const CellMoves& args, int device, void* stream) {
  const Launcher launcher("move_cells", device, stream);
  const RecordedModel& m = args.model;
  if (args.words.words > 0) fire_lines(launcher, args.trains, args.words);
  const Problem problem = {args, ceil_div(args.order.array_cols, kQuad), vector_of(args)};
  const int64_t rows = m.n_registers + m.n_state + m.n_params + 1;
  const int64_t numbers = ceil_div(m.n_constants, kQuad) * kQuad + rows * args.threads * kQuad;
  const int64_t sums = args.threads * kSums * 2;  // doubles
  const size_t shared = static_cast<size_t>(numbers > sums ? numbers : sums) * sizeof(float);
  const int64_t blocks = ceil_div(args.order.end * problem.quads, args.threads);
  launcher.run(move_lines, blocks, static_cast<int>(args.threads), shared, problem);
}

}  // namespace memcore::cuda
