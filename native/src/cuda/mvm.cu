// The crossbar product with its converters fused: a register-blocked matrix product in single
// precision that rounds the partial sum of every row tile to an ADC code before it is added up.
//
// One thread owns an output and adds its products row by row with fused multiply-adds, whatever the
// shape of the block. So results do not depend on n, on the shape chosen or on the device.
#include "check.h"
#include "grid.h"
#include "memcore/kernels.h"

namespace memcore::cuda {
namespace {

constexpr int kWarp = 32;
// The lanes of a warp along the columns of a panel, and along the rows of the output.
constexpr int kPanelQuads = static_cast<int>(kPanel) / kQuad;
constexpr int kRowLanes = kWarp / kPanelQuads;

// A block has RowWarps x Panels warps; each warp computes 4 * ThreadRows outputs by one panel, each
// thread ThreadRows by 4 of them. It advances Depth rows of the crossbar at a time.
template <int RowWarps, int Panels, int ThreadRows, int Depth, int MinBlocks>
struct Shape {
  static constexpr int kThreads = kWarp * RowWarps * Panels;
  static constexpr int kPanels = Panels;
  static constexpr int kThreadRows = ThreadRows;
  static constexpr int kWarpRows = kRowLanes * ThreadRows;
  static constexpr int kBlockRows = kWarpRows * RowWarps;
  static constexpr int kDepth = Depth;
  static constexpr int kMinBlocks = MinBlocks;  // resident on a multiprocessor
  // Quads that a thread loads, and inputs of one access to shared memory.
  static constexpr int kInputQuads = kBlockRows * Depth / kQuad / kThreads;
  static constexpr int kWeightQuads = Panels * Depth * kPanelQuads / kThreads;
  static constexpr int kVector = ThreadRows < kQuad ? ThreadRows : kQuad;
  static_assert(kInputQuads * kThreads * kQuad == kBlockRows * Depth, "whole quads for every thread");
  static_assert(kWeightQuads * kThreads == Panels * Depth * kPanelQuads, "whole quads for every thread");
};

using Large = Shape<4, 2, 8, 16, 2>;  // 128 x 64 outputs
using Small = Shape<4, 1, 2, 32, 4>;  // 32 x 32 outputs: more blocks when there are few outputs

// So that the sum of two row numbers is an int.
constexpr int64_t kMostRows = (int64_t{1} << 30) - 1;

struct Problem {
  CrossbarMvm mvm;
  int64_t panels;        // of a group
  int64_t row_blocks;    // blocks along n
  int64_t panel_blocks;  // blocks along the columns
  bool vector_x, vector_panels, vector_out;
};

// Two stages, so that one is filled while the other is multiplied. Inputs are transposed; the pad
// keeps rows aligned to 16 bytes and on different banks.
template <class S>
struct alignas(16) Stages {
  float inputs[2][S::kDepth][S::kBlockRows + kQuad];
  float weights[2][S::kPanels][S::kDepth][kPanel];
};

struct Dac {
  float inverse_step, lo, hi;

  __device__ float encode(float v) const {
    return inverse_step == 0.0f ? v : round_and_clamp(__fmul_rn(v, inverse_step), lo, hi);
  }
};

// kCount floats from shared memory in one access.
template <int kCount>
__device__ __forceinline__ void load_shared(const float* from, float* to) {
  static_assert(kCount == 2 || kCount == 4, "an 8- or 16-byte access");
  if constexpr (kCount == 4) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  } else {
    const float2 v = *reinterpret_cast<const float2*>(from);
    to[0] = v.x, to[1] = v.y;
  }
}

// One thread's part in moving a block's operands from global memory through registers to a stage.
// Rows of the crossbar from `end` on, and outputs that do not exist, are filled with zero weights.
template <class S>
class Loader {
 public:
  __device__ Loader(const Problem& problem, int64_t group, int64_t first_row, int64_t first_panel)
      : problem_(problem), dac_{problem.mvm.dac[0], problem.mvm.dac[1], problem.mvm.dac[2]} {
    const CrossbarMvm& mvm = problem.mvm;
#pragma unroll
    for (int i = 0; i < S::kInputQuads; ++i) {
      const int64_t row = first_row + input_row(i);
      has_input_[i] = row < mvm.n;
      inputs_[i] = mvm.x + (has_input_[i] ? (row * mvm.groups + group) * mvm.rows : 0);
    }
#pragma unroll
    for (int i = 0; i < S::kWeightQuads; ++i) {
      const int64_t panel = first_panel + weight_panel(i);
      has_weight_[i] = panel < problem.panels;
      weights_[i] = mvm.panels + (has_weight_[i] ? (group * problem.panels + panel) * mvm.rows * kPanel : 0);
    }
  }

  // Starts to load rows begin .. end-1, at most kDepth of them.
  __device__ __forceinline__ void fetch(int begin, int end) {
#pragma unroll
    for (int i = 0; i < S::kInputQuads; ++i) {
      const int here = has_input_[i] ? end - begin - input_depth(i) : 0;
      next_inputs_[i] = load_quad(inputs_[i] + (begin + input_depth(i)), here, problem_.vector_x);
    }
#pragma unroll
    for (int i = 0; i < S::kWeightQuads; ++i) {
      const int here = has_weight_[i] && begin + weight_depth(i) < end ? kQuad : 0;
      const float* from = weights_[i] + (begin + weight_depth(i)) * kPanel + weight_column(i);
      next_weights_[i] = load_quad(from, here, problem_.vector_panels);
    }
  }

  // Waits for what was fetched and stores it, the inputs as DAC codes.
  __device__ __forceinline__ void store(Stages<S>& stages, int stage) const {
#pragma unroll
    for (int i = 0; i < S::kInputQuads; ++i) {
      float(*inputs)[S::kBlockRows + kQuad] = &stages.inputs[stage][input_depth(i)];
      inputs[0][input_row(i)] = dac_.encode(next_inputs_[i].x);
      inputs[1][input_row(i)] = dac_.encode(next_inputs_[i].y);
      inputs[2][input_row(i)] = dac_.encode(next_inputs_[i].z);
      inputs[3][input_row(i)] = dac_.encode(next_inputs_[i].w);
    }
#pragma unroll
    for (int i = 0; i < S::kWeightQuads; ++i) {
      float* weights = &stages.weights[stage][weight_panel(i)][weight_depth(i)][weight_column(i)];
      *reinterpret_cast<float4*>(weights) = next_weights_[i];
    }
  }

 private:
  static constexpr int kDepthQuads = S::kDepth / kQuad;

  // Where the i-th quad of this thread lies: neighbouring threads load neighbouring quads.
  __device__ static int quad(int i) { return static_cast<int>(threadIdx.x) + i * S::kThreads; }
  __device__ static int input_row(int i) { return quad(i) / kDepthQuads; }
  __device__ static int input_depth(int i) { return quad(i) % kDepthQuads * kQuad; }
  __device__ static int weight_panel(int i) { return quad(i) / kPanelQuads / S::kDepth; }
  __device__ static int weight_depth(int i) { return quad(i) / kPanelQuads % S::kDepth; }
  __device__ static int weight_column(int i) { return quad(i) % kPanelQuads * kQuad; }

  const Problem& problem_;
  const Dac dac_;
  bool has_input_[S::kInputQuads], has_weight_[S::kWeightQuads];  // else zeros are loaded
  const float* inputs_[S::kInputQuads];                           // the row of x of each quad
  const float* weights_[S::kWeightQuads];                         // the panel of each quad
  float4 next_inputs_[S::kInputQuads];
  float4 next_weights_[S::kWeightQuads];
};

// One thread's outputs.
template <class S>
class Outputs {
 public:
  // sums += inputs x weights of one stage, row after row.
  __device__ __forceinline__ void multiply(const Stages<S>& stages, int stage) {
#pragma unroll
    for (int k = 0; k < S::kDepth; ++k) {
      float inputs[S::kThreadRows], weights[kQuad];
#pragma unroll
      for (int i = 0; i < S::kThreadRows; i += S::kVector)
        load_shared<S::kVector>(&stages.inputs[stage][k][row(i)], inputs + i);
      load_shared<kQuad>(&stages.weights[stage][panel()][k][column()], weights);
#pragma unroll
      for (int i = 0; i < S::kThreadRows; ++i)
#pragma unroll
        for (int j = 0; j < kQuad; ++j) sums_[i][j] = __fmaf_rn(inputs[i], weights[j], sums_[i][j]);
    }
  }

  // The end of a row tile: converts its sums and adds them to the totals.
  __device__ __forceinline__ void close_tile(float lo, float hi) {
    const bool adc = !(hi < lo);
#pragma unroll
    for (int i = 0; i < S::kThreadRows; ++i)
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        totals_[i][j] += adc ? round_and_clamp(sums_[i][j], lo, hi) : sums_[i][j];
        sums_[i][j] = 0.0f;
      }
  }

  __device__ void write(const Problem& problem, int64_t group, int64_t first_row, int64_t first_panel) const {
    const CrossbarMvm& mvm = problem.mvm;
    const int64_t first = (first_panel + panel()) * kPanel + column(), left = mvm.cols - first;
    if (left <= 0) return;
    float scale[kQuad], bias[kQuad];
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const int64_t at = group * mvm.cols + first + j;
      scale[j] = j < left ? mvm.scale[mvm.scale_size == 1 ? 0 : at] : 0.0f;
      bias[j] = j < left && mvm.bias != nullptr ? mvm.bias[at] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < S::kThreadRows; ++i) {
      const int64_t output = first_row + row(i);
      if (output >= mvm.n) continue;
      const float4 y = {__fmaf_rn(scale[0], totals_[i][0], bias[0]), __fmaf_rn(scale[1], totals_[i][1], bias[1]),
                        __fmaf_rn(scale[2], totals_[i][2], bias[2]), __fmaf_rn(scale[3], totals_[i][3], bias[3])};
      store_quad(mvm.out + (output * mvm.groups + group) * mvm.cols + first, y, left, problem.vector_out);
    }
  }

 private:
  __device__ static int lane() { return threadIdx.x % kWarp; }
  __device__ static int warp() { return threadIdx.x / kWarp; }
  __device__ static int panel() { return warp() % S::kPanels; }
  __device__ static int column() { return lane() % kPanelQuads * kQuad; }
  // Rows come in runs of kVector; the runs of one thread are apart, so that the lanes of a warp
  // touch all banks.
  __device__ static int row(int i) {
    return warp() / S::kPanels * S::kWarpRows + i / S::kVector * (S::kVector * kRowLanes) +
           lane() / kPanelQuads * S::kVector + i % S::kVector;
  }

  float sums_[S::kThreadRows][kQuad] = {};    // of the open row tile
  float totals_[S::kThreadRows][kQuad] = {};  // of the closed ones
};

template <class S>
__global__ void __launch_bounds__(S::kThreads, S::kMinBlocks) multiply_tiles(const Problem problem) {
  __shared__ Stages<S> stages;
  const CrossbarMvm& mvm = problem.mvm;
  // Neighbouring blocks read the same inputs.
  const int64_t first_panel = blockIdx.x % problem.panel_blocks * S::kPanels;
  const int64_t first_row = blockIdx.x / problem.panel_blocks % problem.row_blocks * S::kBlockRows;
  const int64_t group = blockIdx.x / problem.panel_blocks / problem.row_blocks;
  Loader<S> loader(problem, group, first_row, first_panel);
  Outputs<S> outputs;

  const int rows = static_cast<int>(mvm.rows), tile_rows = static_cast<int>(mvm.tile_rows);
  int begin = 0, tile_end = tile_rows;
  loader.fetch(begin, tile_end);
  loader.store(stages, 0);
  __syncthreads();
  for (int stage = 0; begin < rows; stage ^= 1) {
    const int next = min(begin + S::kDepth, tile_end);
    const bool closes = next == tile_end;
    if (closes) tile_end = min(tile_end + tile_rows, rows);
    if (next < rows) loader.fetch(next, tile_end);
    outputs.multiply(stages, stage);
    if (closes) outputs.close_tile(mvm.lo, mvm.hi);
    if (next < rows) loader.store(stages, stage ^ 1);
    __syncthreads();  // the stage read is free, the stage stored is complete
    begin = next;
  }
  outputs.write(problem, group, first_row, first_panel);
}

template <class S>
void run(const Launcher& launcher, Problem problem) {
  problem.row_blocks = ceil_div(problem.mvm.n, S::kBlockRows);
  problem.panel_blocks = ceil_div(problem.panels, S::kPanels);
  const int64_t blocks = problem.row_blocks * problem.panel_blocks * problem.mvm.groups;
  launcher.run(multiply_tiles<S>, blocks, S::kThreads, 0, problem);
}

}  // namespace

void crossbar_mvm(const CrossbarMvm& args, int device, void* stream) {
  if (args.n == 0) return;
  const Launcher launcher("crossbar_mvm", device, stream);
  Problem problem{args, ceil_div(args.cols, kPanel), 0, 0, false, false, false};
  CrossbarMvm& mvm = problem.mvm;
  if (mvm.rows > kMostRows) throw std::runtime_error("crossbar_mvm: 2^30 or more rows");
  if (mvm.tile_rows > mvm.rows) mvm.tile_rows = mvm.rows;
  problem.vector_x = aligned(mvm.x, 16) && mvm.rows % kQuad == 0 && mvm.tile_rows % kQuad == 0;
  problem.vector_panels = aligned(mvm.panels, 16);
  problem.vector_out = aligned(mvm.out, 16) && mvm.cols % kQuad == 0;

  const int64_t large = ceil_div(args.n, Large::kBlockRows) * ceil_div(problem.panels, Large::kPanels) * args.groups;
  if (large < launcher.processors())
    run<Small>(launcher, problem);
  else
    run<Large>(launcher, problem);
}

}  // namespace memcore::cuda
