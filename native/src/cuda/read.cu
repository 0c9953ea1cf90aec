// Reads with the noise of the cells: two products of single precision at once, of the codes for the currents and of
// their squares for the variances, and one normal number for each output and tile.
//
// As in mvm.cu one thread owns an output and adds row by row, so that results do not depend on the other reads.
#include "check.h"
#include "grid.h"
#include "lanes.h"
#include "memcore/kernels.h"
#include "memcore/read.h"

namespace memcore::cuda {
namespace {

// A block has the columns of one panel and kLanes threads along the reads, each with kSome reads of four columns: two
// where there are few reads, for more blocks. It advances kDepth rows of the crossbar at a time.
constexpr int kDepth = 32, kLanes = 16;
constexpr int kQuads = static_cast<int>(kPanel) / kQuad;
constexpr int kReadThreads = kLanes * kQuads;
constexpr int kFew = 2, kMany = 4;

struct Problem {
  CrossbarRead read;
  int64_t panels;       // of a group
  int64_t read_blocks;  // blocks along the reads
  int64_t tiles;        // along the rows
  int64_t set;          // columns whose draws have one key
  bool vector;          // whether panels may be loaded four columns at a time
};

// Some rows of the crossbar. Inputs are transposed; the pad keeps them on different banks.
template <int kReads>
struct Stage {
  float codes[kDepth][kReads + 1];
  float4 weights[kDepth][kQuads], variances[kDepth][kQuads];
};

// Where a block is.
struct Place {
  int64_t group, panel, first_read;

  __device__ Place(const Problem& p, int reads)
      : group(blockIdx.x / p.panels / p.read_blocks),
        panel(blockIdx.x % p.panels),
        first_read(blockIdx.x / p.panels % p.read_blocks * reads) {}
};

__device__ inline float dac(const float* codes, float v) {
  return codes[0] == 0.0f ? v : round_and_clamp(__fmul_rn(v, codes[0]), codes[1], codes[2]);
}

// Rows begin .. begin + depth - 1, all threads together.
template <int kReads>
__device__ inline void load(const Problem& p, const Place& place, int64_t begin, int depth, Stage<kReads>& to) {
  const CrossbarRead& r = p.read;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kReads * kDepth; i += kReadThreads) {
    const int64_t read = place.first_read + i / kDepth;
    const bool exists = read < r.images && i % kDepth < depth;
    const int64_t from = (read * r.groups + place.group) * r.channels + begin + i % kDepth;
    to.codes[i % kDepth][i / kDepth] = exists ? dac(r.dac, __ldg(r.x + from)) : 0.0f;
  }
  const int64_t first = ((place.group * p.panels + place.panel) * r.channels + begin) * kPanel;
  for (int i = thread; i < depth * kQuads; i += kReadThreads) {
    to.weights[i / kQuads][i % kQuads] = load_quad(r.panels + first + i * kQuad, kQuad, p.vector);
    to.variances[i / kQuads][i % kQuads] = load_quad(r.variance + first + i * kQuad, kQuad, p.vector);
  }
}

// The draws of four neighbouring columns, zeros where there is none.
__device__ inline float4 draws(const Problem& p, int64_t group, int64_t tile, int64_t col, uint64_t read) {
  const int64_t first = (group * p.tiles + tile) * p.set;
  if (p.set % kQuad == 0) {
    const auto element = static_cast<uint64_t>(first + col % p.set);
    return NormalLanes().quad(philox_block(p.read.key + static_cast<uint64_t>(col / p.set), element / kQuad, read));
  }
  float normal[kQuad] = {};
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    if (col + j >= p.read.cols) continue;
    const auto element = static_cast<uint64_t>(first + (col + j) % p.set);
    const uint64_t key = p.read.key + static_cast<uint64_t>((col + j) / p.set);
    normal[j] = NormalLanes().lane(philox_block(key, element / kQuad, read), static_cast<int>(element % kQuad));
  }
  return {normal[0], normal[1], normal[2], normal[3]};
}

// One thread's outputs.
template <int kSome>
class Outputs {
 public:
  __device__ Outputs(const Problem& problem, const Place& place)
      : problem_(problem), place_(place), first_col_(place.panel * kPanel + quad() * kQuad) {}

  __device__ __forceinline__ void multiply(const Stage<kLanes * kSome>& stage, int depth) {
    for (int k = 0; k < depth; ++k) {
      const float4 w = stage.weights[k][quad()], v = stage.variances[k][quad()];
#pragma unroll
      for (int i = 0; i < kSome; ++i) {
        const float code = stage.codes[k][lane() + i * kLanes];
        add(sums_[i], code, w);
        add(squares_[i], __fmul_rn(code, code), v);
      }
    }
  }

  // The end of a row tile: adds noise to its sums, converts them and adds them to the totals.
  __device__ __forceinline__ void close_tile(int64_t tile) {
    const CrossbarRead& r = problem_.read;
#pragma unroll
    for (int i = 0; i < kSome; ++i) {
      if (!exists(i)) continue;
      const float4 z = draws(problem_, place_.group, tile, first_col_, static_cast<uint64_t>(r.reads[read(i)]));
      const float normal[kQuad] = {z.x, z.y, z.z, z.w};
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        const float current = __fmaf_rn(square_root(squares_[i][j]), normal[j], sums_[i][j]);
        totals_[i][j] += r.hi < r.lo ? current : round_and_clamp(current, r.lo, r.hi);
        sums_[i][j] = squares_[i][j] = 0.0f;
      }
    }
  }

  __device__ void write() const {
    const CrossbarRead& r = problem_.read;
    for (int i = 0; i < kSome; ++i) {
      if (!exists(i)) continue;
      float* const to = r.out + (read(i) * r.groups + place_.group) * r.cols;
      for (int64_t j = 0; j < kQuad && first_col_ + j < r.cols; ++j) {
        const int64_t col = first_col_ + j, at = place_.group * r.cols + col;
        const float bias = r.bias == nullptr ? 0.0f : r.bias[at];
        to[col] = __fmaf_rn(r.scale[r.scale_size == 1 ? 0 : at], totals_[i][j], bias);
      }
    }
  }

 private:
  __device__ static int quad() { return static_cast<int>(threadIdx.x) % kQuads; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) / kQuads; }
  __device__ int64_t read(int i) const { return place_.first_read + lane() + i * kLanes; }
  __device__ bool exists(int i) const { return read(i) < problem_.read.images && first_col_ < problem_.read.cols; }

  __device__ static void add(float* to, float a, const float4& b) {
    to[0] = __fmaf_rn(a, b.x, to[0]);
    to[1] = __fmaf_rn(a, b.y, to[1]);
    to[2] = __fmaf_rn(a, b.z, to[2]);
    to[3] = __fmaf_rn(a, b.w, to[3]);
  }

  const Problem& problem_;
  const Place& place_;
  const int64_t first_col_;
  float sums_[kSome][kQuad] = {};     // currents of the open row tile
  float squares_[kSome][kQuad] = {};  // and their variances
  float totals_[kSome][kQuad] = {};   // of the closed ones
};

template <int kSome>
__global__ void __launch_bounds__(kReadThreads) read_tiles(const Problem problem) {
  __shared__ Stage<kLanes * kSome> stage;
  const Place place(problem, kLanes * kSome);
  Outputs<kSome> outputs(problem, place);
  const int64_t rows = problem.read.channels, tile_rows = problem.read.tile_rows;
  for (int64_t tile = 0; tile < problem.tiles; ++tile) {
    const int64_t end = min((tile + 1) * tile_rows, rows);
    for (int64_t begin = tile * tile_rows; begin < end; begin += kDepth) {
      const int depth = static_cast<int>(min(int64_t{kDepth}, end - begin));
      __syncthreads();  // the rows before are multiplied
      load(problem, place, begin, depth, stage);
      __syncthreads();
      outputs.multiply(stage, depth);
    }
    outputs.close_tile(tile);
  }
  outputs.write();
}

template <int kSome>
void run(const Launcher& launcher, Problem problem) {
  problem.read_blocks = ceil_div(problem.read.images, kLanes * kSome);
  const int64_t blocks = problem.panels * problem.read_blocks * problem.read.groups;
  launcher.run(read_tiles<kSome>, blocks, kReadThreads, 0, problem);
}

}  // namespace

void crossbar_read(const CrossbarRead& args, int device, void* stream) {
  if (args.images == 0) return;
  const Launcher launcher("crossbar_read", device, stream);
  Problem problem{args, ceil_div(args.cols, kPanel), 0, 0, args.cols / args.values, false};
  if (args.tile_rows > args.channels) problem.read.tile_rows = args.channels;
  problem.tiles = ceil_div(args.channels, problem.read.tile_rows);
  problem.vector = aligned(args.panels, 16) && aligned(args.variance, 16);
  const int64_t many = ceil_div(args.images, kLanes * kMany) * problem.panels * args.groups;
  if (many < 2 * launcher.processors())
    run<kFew>(launcher, problem);
  else
    run<kMany>(launcher, problem);
}

}  // namespace memcore::cuda
