// Products with weights that are codes of a codebook: codes are decoded into shared memory once for the inputs of a
// block, and multiplied from there.
//
// For few inputs the codes are what has to be read, half a byte or one a weight, an eighth or a quarter of what a
// matrix of floats has; for many it is the multiplications, as in mvm.cu. One thread owns an output and adds its
// products row by row behind the bias, whatever the shape of the block: results depend neither on the other inputs nor
// on the device. Parts of the rows for more blocks would, by the order of the sums.
#include "check.h"
#include "grid.h"
#include "memcore/kernels.h"
#include "memcore/tables.h"

namespace memcore::cuda {
namespace {

// A block has Lanes threads along the inputs, Some inputs each, and Panels panels of columns, Wide columns a thread. It
// advances Depth rows at a time.
template <int Lanes, int Some, int Panels, int Wide, int Depth>
struct Shape {
  static constexpr int kSome = Some, kPanels = Panels, kWide = Wide, kDepth = Depth;
  static constexpr int kCols = static_cast<int>(kPanel) * Panels;
  static constexpr int kColLanes = kCols / Wide;
  static constexpr int kThreads = Lanes * kColLanes;
  static constexpr int kInputs = Lanes * Some;
  static_assert(kInputs * Depth % kThreads == 0, "as many inputs for every thread");
  static_assert(Wide == 1 || Wide == kQuad, "one column or four");
};

using Large = Shape<8, 8, 2, 4, 16>;   // 64 x 64 outputs of 128 threads
using Small = Shape<4, 2, 1, 1, 128>;  // 8 x 32 outputs of 128 threads: more blocks where there are few outputs

constexpr int kHalf = static_cast<int>(kPanel) / 2;  // columns of the low halves of bytes
constexpr int kMostCodes = 256;
constexpr int kResident = 3;  // blocks on a multiprocessor, at least

struct Problem {
  CodebookProduct product;
  int64_t panels, panel_blocks;
  bool vector_codes, vector_out;
};

template <class S>
struct alignas(16) Stage {
  float book[kMostCodes];
  float weights[S::kDepth][S::kCols];
  float inputs[S::kDepth][S::kInputs + kQuad];  // transposed; the pad keeps rows aligned and on different banks
};

// Where a block is.
struct Place {
  int64_t first_input, first_panel;
};

// One thread's part in moving rows of a block from global memory through registers, while the rows before are
// multiplied, to shared memory. What does not exist are zeros.
template <class S, int kBits>
class Loader {
 public:
  __device__ Loader(const Problem& problem, const Place& place) : problem_(problem), place_(place) {}

  __device__ void load_book(Stage<S>& stage) const {
    for (int i = thread(0); i < 1 << kBits; i += S::kThreads) stage.book[i] = problem_.product.book[i];
  }

  // Starts to load rows begin .. begin + S::kDepth - 1.
  __device__ __forceinline__ void fetch(int64_t begin) {
    const CodebookProduct& c = problem_.product;
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      const int64_t input = place_.first_input + thread(i) / S::kDepth, row = begin + thread(i) % S::kDepth;
      inputs_[i] = input < c.n && row < c.rows ? __ldg(c.x + input * c.rows + row) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kCodes; ++i) {
      const int64_t panel = place_.first_panel + panel_of(i), row = begin + row_of(i);
      exists_[i] = panel < problem_.panels && row < c.rows;
      codes_[i] = exists_[i] ? word_at(c.codes + (panel * c.rows + row) * kBytes + byte_of(i)) : 0u;
    }
  }

  // Waits for what was fetched and stores it, codes as weights.
  __device__ __forceinline__ void store(Stage<S>& stage) const {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) stage.inputs[thread(i) % S::kDepth][thread(i) / S::kDepth] = inputs_[i];
#pragma unroll
    for (int i = 0; i < kCodes; ++i) {
      float* const to = &stage.weights[row_of(i)][panel_of(i) * static_cast<int>(kPanel) + byte_of(i)];
      put(stage.book, codes_[i], exists_[i], to);
      if (kBits == 4) put(stage.book, codes_[i] >> 4, exists_[i], to + kHalf);
    }
  }

 private:
  static constexpr int kBytes = static_cast<int>(kPanel) * kBits / 8, kWords = kBytes / kQuad;  // of a panel's row
  static constexpr int kInputs = S::kInputs * S::kDepth / S::kThreads;
  static constexpr int kCodes = S::kPanels * S::kDepth * kWords / S::kThreads;
  static_assert(kCodes * S::kThreads == S::kPanels * S::kDepth * kWords, "as many codes for every thread");

  // Neighbouring threads load neighbouring words.
  __device__ static int thread(int i) { return static_cast<int>(threadIdx.x) + i * S::kThreads; }
  __device__ static int byte_of(int i) { return thread(i) % kWords * kQuad; }
  __device__ static int row_of(int i) { return thread(i) / kWords % S::kDepth; }
  __device__ static int panel_of(int i) { return thread(i) / kWords / S::kDepth; }

  // Weights of the lowest bits of four bytes, in columns that lie side by side.
  __device__ static void put(const float* book, uint32_t codes, bool exists, float* to) {
    float weight[kQuad];
#pragma unroll
    for (int j = 0; j < kQuad; ++j) weight[j] = exists ? book[codes >> 8 * j & ((1u << kBits) - 1u)] : 0.0f;
    *reinterpret_cast<float4*>(to) = {weight[0], weight[1], weight[2], weight[3]};
  }

  __device__ uint32_t word_at(const uint8_t* at) const {
    if (problem_.vector_codes) return __ldg(reinterpret_cast<const uint32_t*>(at));
    return __ldg(at) | __ldg(at + 1) << 8 | __ldg(at + 2) << 16 | static_cast<uint32_t>(__ldg(at + 3)) << 24;
  }

  const Problem& problem_;
  const Place& place_;
  float inputs_[kInputs];
  uint32_t codes_[kCodes];
  bool exists_[kCodes];
};

// One thread's outputs.
template <class S>
class Outputs {
 public:
  __device__ Outputs(const Problem& problem, const Place& place)
      : product_(problem.product), place_(place), first_col_(place.first_panel * kPanel + col()) {
#pragma unroll
    for (int j = 0; j < S::kWide; ++j) {
      const int64_t at = first_col_ + j;
      const float bias = product_.bias != nullptr && at < product_.cols ? __ldg(product_.bias + at) : 0.0f;
#pragma unroll
      for (int i = 0; i < S::kSome; ++i) sums_[i][j] = bias;
    }
  }

  __device__ __forceinline__ void multiply(const Stage<S>& stage, int depth) {
#pragma unroll 8
    for (int k = 0; k < depth; ++k) {
      float weight[S::kWide];
#pragma unroll
      for (int j = 0; j < S::kWide; ++j) weight[j] = stage.weights[k][col() + j];
#pragma unroll
      for (int i = 0; i < S::kSome; ++i) {
        const float x = stage.inputs[k][input() + i];
#pragma unroll
        for (int j = 0; j < S::kWide; ++j) sums_[i][j] = __fmaf_rn(x, weight[j], sums_[i][j]);
      }
    }
  }

  __device__ void write(bool vector) const {
#pragma unroll
    for (int i = 0; i < S::kSome; ++i) {
      const int64_t at = place_.first_input + input() + i;
      if (at >= product_.n) continue;
      float* const to = product_.out + at * product_.cols + first_col_;
      if constexpr (S::kWide == kQuad) {
        const float4 y = {sums_[i][0], sums_[i][1], sums_[i][2], sums_[i][3]};
        store_quad(to, y, product_.cols - first_col_, vector);
      } else {
        if (first_col_ < product_.cols) *to = sums_[i][0];
      }
    }
  }

 private:
  __device__ static int col() { return static_cast<int>(threadIdx.x) % S::kColLanes * S::kWide; }
  __device__ static int input() { return static_cast<int>(threadIdx.x) / S::kColLanes * S::kSome; }

  const CodebookProduct& product_;
  const Place& place_;
  const int64_t first_col_;
  float sums_[S::kSome][S::kWide];
};

template <class S, int kBits>
__global__ void __launch_bounds__(S::kThreads, kResident) multiply_codes(const Problem problem) {
  __shared__ Stage<S> stage;
  const Place place = {blockIdx.x / problem.panel_blocks * S::kInputs, blockIdx.x % problem.panel_blocks * S::kPanels};
  const int64_t rows = problem.product.rows;
  Loader<S, kBits> loader(problem, place);
  Outputs<S> outputs(problem, place);
  loader.load_book(stage);
  loader.fetch(0);
  for (int64_t begin = 0; begin < rows; begin += S::kDepth) {
    __syncthreads();  // the rows before are multiplied
    loader.store(stage);
    __syncthreads();
    if (begin + S::kDepth < rows) loader.fetch(begin + S::kDepth);
    outputs.multiply(stage, static_cast<int>(min(int64_t{S::kDepth}, rows - begin)));
  }
  outputs.write(problem.vector_out);
}

template <class S>
void run(const Launcher& launcher, Problem problem) {
  problem.panel_blocks = ceil_div(problem.product.cols, S::kCols);
  const int64_t blocks = ceil_div(problem.product.n, S::kInputs) * problem.panel_blocks;
  const auto kernel = problem.product.bits == 4 ? multiply_codes<S, 4> : multiply_codes<S, 8>;
  launcher.run(kernel, blocks, S::kThreads, 0, problem);
}

}  // namespace

void codebook_product(const CodebookProduct& args, int device, void* stream) {
  if (args.n * args.cols == 0) return;
  const Launcher launcher("codebook_product", device, stream);
  const bool vector_out = aligned(args.out, 16) && args.cols % kQuad == 0;
  const Problem problem = {args, ceil_div(args.cols, kPanel), 0, aligned(args.codes, 4), vector_out};
  if (ceil_div(args.n, Large::kInputs) * ceil_div(args.cols, Large::kCols) < launcher.processors())
    run<Small>(launcher, problem);
  else
    run<Large>(launcher, problem);
}

}  // namespace memcore::cuda
