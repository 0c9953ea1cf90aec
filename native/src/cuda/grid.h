// What the kernels share: walking over a two-dimensional array, and access to four values at once.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace memcore::cuda {

constexpr int kThreads = 256;  // of a block of the element-wise kernels
constexpr int kQuad = 4;       // floats of one 16-byte access

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline bool aligned(const void* address, size_t bytes) { return reinterpret_cast<uintptr_t>(address) % bytes == 0; }

// The items of one thread when the whole grid loops over outer x inner items; no division per item.
class GridWalk {
 public:
  __device__ explicit GridWalk(int64_t inner) : inner_size_(inner) {
    const int64_t first = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const int64_t stride = int64_t{gridDim.x} * blockDim.x;
    outer = first / inner;
    this->inner = first % inner;
    outer_step_ = stride / inner;
    inner_step_ = stride % inner;
  }
  __device__ void next() {
    outer += outer_step_;
    inner += inner_step_;
    if (inner < inner_size_) return;
    inner -= inner_size_;
    ++outer;
  }

  int64_t outer, inner;

 private:
  int64_t inner_size_, outer_step_, inner_step_;
};

// The first `left` of four neighbouring floats, zero for the others. `vector` promises 16-byte
// alignment.
__device__ inline float4 load_quad(const float* at, int64_t left, bool vector) {
  if (vector && left >= kQuad) return __ldg(reinterpret_cast<const float4*>(at));
  float4 quad = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (left > 0) quad.x = __ldg(at);
  if (left > 1) quad.y = __ldg(at + 1);
  if (left > 2) quad.z = __ldg(at + 2);
  if (left > 3) quad.w = __ldg(at + 3);
  return quad;
}

// Stores the first `left` of four neighbours. `vector` promises an address aligned to all four.
template <class Quad, class Value>
__device__ inline void store_quad(Value* at, Quad quad, int64_t left, bool vector) {
  if (vector && left >= kQuad) {
    *reinterpret_cast<Quad*>(at) = quad;
    return;
  }
  if (left > 0) at[0] = quad.x;
  if (left > 1) at[1] = quad.y;
  if (left > 2) at[2] = quad.z;
  if (left > 3) at[3] = quad.w;
}

// Rounds halves to even and limits to lo .. hi. A NaN stays: both comparisons are false for it.
__device__ inline float round_and_clamp(float v, float lo, float hi) {
  const float code = rintf(v);
  if (code < lo) return lo;
  return code > hi ? hi : code;
}

}  // namespace memcore::cuda
