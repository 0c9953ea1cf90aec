// Quantisers: memory-bound, so four elements a thread wherever alignment allows.
#include "check.h"
#include "grid.h"
#include "memcore/kernels.h"
#include "memcore/levels.h"

namespace memcore::cuda {
namespace {

__device__ float quantized(float x, float step, float lo, float hi) {
  return round_and_clamp(__fdiv_rn(x, step), lo, hi) * step;
}

// One step for the whole tensor.
__global__ void __launch_bounds__(kThreads) uniform_tensor(QuantizeUniform args, bool vector) {
  const float step = *args.step;
  const int64_t quads = (args.count + kQuad - 1) / kQuad;
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < quads; i += stride) {
    const int64_t left = args.count - i * kQuad;
    float4 v = load_quad(args.x + i * kQuad, left, vector);
    v = {quantized(v.x, step, args.lo, args.hi), quantized(v.y, step, args.lo, args.hi),
         quantized(v.z, step, args.lo, args.hi), quantized(v.w, step, args.lo, args.hi)};
    store_quad(args.out + i * kQuad, v, left, vector);
  }
}

// One step for each column; four columns a thread.
__global__ void __launch_bounds__(kThreads) uniform_columns(QuantizeUniform args, bool vector) {
  const int64_t rows = args.count / args.cols;
  for (GridWalk walk((args.cols + kQuad - 1) / kQuad); walk.outer < rows; walk.next()) {
    const int64_t column = walk.inner * kQuad, left = args.cols - column;
    const int64_t first = walk.outer * args.cols + column;
    const float4 step = load_quad(args.step + column, left, vector);
    float4 v = load_quad(args.x + first, left, vector);
    v = {quantized(v.x, step.x, args.lo, args.hi), quantized(v.y, step.y, args.lo, args.hi),
         quantized(v.z, step.z, args.lo, args.hi), quantized(v.w, step.w, args.lo, args.hi)};
    store_quad(args.out + first, v, left, vector);
  }
}

constexpr size_t kSharedBytes = 48 * 1024;  // what every device gives a block without asking
constexpr int kColumns = 32;                // that a block of levels_columns works on, one a bank
constexpr int kColumnThreads = 512;         // of such a block

// A table of levels and the boundaries between them, in shared memory; consecutive entries are
// `stride` apart.
class SharedLevels {
 public:
  static size_t bytes(int64_t n_levels, int stride) {
    return static_cast<size_t>(2 * n_levels - 1) * stride * sizeof(float);
  }

  __device__ SharedLevels(float* memory, int n_levels, int stride, int column)
      : levels_(memory + column), middles_(memory + n_levels * stride + column), n_levels_(n_levels), stride_(stride) {}

  // Copies the table; `threads` threads share the work and the caller synchronises.
  __device__ void fill(const float* levels, int thread, int threads) {
    for (int i = thread; i < n_levels_; i += threads) {
      levels_[i * stride_] = levels[i];
      if (i > 0) middles_[(i - 1) * stride_] = lower_middle(levels[i - 1], levels[i]);
    }
  }

  __device__ float nearest(float x) const {
    int first = 0;
    for (int count = n_levels_ - 1; count > 0;) {
      const int half = count / 2;
      const bool above = x > middles_[(first + half) * stride_];
      first = above ? first + half + 1 : first;
      count = above ? count - half - 1 : half;
    }
    return x == x ? levels_[first * stride_] : x;
  }

 private:
  float* levels_;
  float* middles_;
  int n_levels_, stride_;
};

// One table, in shared memory, for the whole tensor.
__global__ void __launch_bounds__(kThreads) levels_tensor(QuantizeLevels args, bool vector) {
  extern __shared__ float memory[];
  SharedLevels table(memory, static_cast<int>(args.n_levels), 1, 0);
  table.fill(args.levels, threadIdx.x, blockDim.x);
  __syncthreads();
  const int64_t quads = (args.count + kQuad - 1) / kQuad;
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < quads; i += stride) {
    const int64_t left = args.count - i * kQuad;
    float4 v = load_quad(args.x + i * kQuad, left, vector);
    v = {table.nearest(v.x), table.nearest(v.y), table.nearest(v.z), table.nearest(v.w)};
    store_quad(args.out + i * kQuad, v, left, vector);
  }
}

// One table for each column, those of kColumns columns in shared memory. `parts` blocks share the
// rows of a column.
__global__ void __launch_bounds__(kColumnThreads) levels_columns(QuantizeLevels args, int64_t parts) {
  extern __shared__ float memory[];
  const int lane = threadIdx.x % kColumns, warp = threadIdx.x / kColumns;
  const int warps = kColumnThreads / kColumns;
  const int64_t column = blockIdx.x / parts * kColumns + lane;
  const int n_levels = static_cast<int>(args.n_levels);
  SharedLevels table(memory, n_levels, kColumns, lane);
  if (column < args.cols) table.fill(args.levels + column * n_levels, warp, warps);
  __syncthreads();
  if (column >= args.cols) return;
  const int64_t rows = args.count / args.cols;
  for (int64_t row = blockIdx.x % parts * warps + warp; row < rows; row += parts * warps) {
    const int64_t i = row * args.cols + column;
    args.out[i] = table.nearest(__ldg(args.x + i));
  }
}

// Tables too large for shared memory.
__global__ void __launch_bounds__(kThreads) levels_global(QuantizeLevels args) {
  const int64_t rows = args.count / args.cols;
  for (GridWalk walk(args.cols); walk.outer < rows; walk.next()) {
    const float* levels = args.levels + walk.inner * args.n_levels;
    const int64_t i = walk.outer * args.cols + walk.inner;
    const float x = __ldg(args.x + i);
    int64_t first = 0;  // the first level that is not below x, or the last one
    for (int64_t count = args.n_levels - 1; count > 0;) {
      const int64_t half = count / 2;
      const bool above = x > __ldg(levels + first + half);
      first = above ? first + half + 1 : first;
      count = above ? count - half - 1 : half;
    }
    if (first > 0 && !(x > lower_middle(levels[first - 1], levels[first]))) --first;
    args.out[i] = x == x ? levels[first] : x;
  }
}

bool vectors(const void* x, const void* out) { return aligned(x, 16) && aligned(out, 16); }

void run_levels_columns(const Launcher& launcher, const QuantizeLevels& args) {
  const int64_t strips = ceil_div(args.cols, kColumns);
  const int64_t rows_at_once = kColumnThreads / kColumns;
  // Eight rows a thread pay for filling the table.
  const int64_t wanted = ceil_div(args.count / args.cols, 8 * rows_at_once);
  const int64_t most = ceil_div(int64_t{launcher.processors()} * 4, strips);
  const int64_t parts = wanted < most ? wanted : most;
  const size_t shared = SharedLevels::bytes(args.n_levels, kColumns);
  launcher.run(levels_columns, strips * parts, kColumnThreads, shared, args, parts);
}

}  // namespace

void quantize_uniform(const QuantizeUniform& args, int device, void* stream) {
  if (args.count == 0) return;
  const Launcher launcher("quantize_uniform", device, stream);
  if (args.cols == 1) {
    const int64_t blocks = launcher.blocks(ceil_div(args.count, kQuad), kThreads);
    launcher.run(uniform_tensor, blocks, kThreads, 0, args, vectors(args.x, args.out));
    return;
  }
  const int64_t quads = args.count / args.cols * ceil_div(args.cols, kQuad);
  const bool vector = vectors(args.x, args.out) && aligned(args.step, 16) && args.cols % kQuad == 0;
  launcher.run(uniform_columns, launcher.blocks(quads, kThreads), kThreads, 0, args, vector);
}

void quantize_levels(const QuantizeLevels& args, int device, void* stream) {
  if (args.count == 0) return;
  const Launcher launcher("quantize_levels", device, stream);
  const int stride = args.cols == 1 ? 1 : kColumns;
  if (args.n_levels > INT32_MAX / kColumns / 2 || SharedLevels::bytes(args.n_levels, stride) > kSharedBytes) {
    launcher.run(levels_global, launcher.blocks(args.count, kThreads), kThreads, 0, args);
  } else if (args.cols == 1) {
    const int64_t blocks = launcher.blocks(ceil_div(args.count, kQuad), kThreads);
    const size_t shared = SharedLevels::bytes(args.n_levels, stride);
    launcher.run(levels_tensor, blocks, kThreads, shared, args, vectors(args.x, args.out));
  } else {
    run_levels_columns(launcher, args);
  }
}

}  // namespace memcore::cuda
