// What the CUDA module uses of CUDA, for a processor: kernels run block after block, and the threads of a block by
// turns on one thread, each up to its next barrier, in an order that differs from turn to turn. Shared memory is
// static, so that it holds at first what the block before left there.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

// Types -------------------------------------------------------------------------------------------

struct uchar4 {
  unsigned char x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct Index {
  unsigned x;
};
inline Index threadIdx, blockIdx, blockDim, gridDim;

inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// Functions: the build contracts no products into sums, as these do not.
template <class T>
T __ldg(const T* at) {
  return *at;
}
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __dp4a(int a, int b, int sum) {
  for (int k = 0; k < 32; k += 8) sum += static_cast<int8_t>(a >> k) * static_cast<int8_t>(b >> k);
  return sum;
}
inline unsigned __vsub4(unsigned a, unsigned b) {
  unsigned out = 0;
  for (int k = 0; k < 32; k += 8) out |= (((a >> k) - (b >> k)) & 255u) << k;
  return out;
}
using std::max;
using std::min;

// Devices -----------------------------------------------------------------------------------------

enum cudaError_t { cudaSuccess, cudaErrorNoKernelImageForDevice };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };
using cudaStream_t = void*;

inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) { return *value = 4, cudaSuccess; }

// Threads -----------------------------------------------------------------------------------------

namespace emulation {

constexpr size_t kStack = 64 * 1024;

struct Thread {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(kStack);
  bool runs = false;
};

inline std::vector<Thread> threads;
inline ucontext_t turns;
inline size_t current;
inline std::function<void()> body;
alignas(16) inline float shared[48 * 1024 / sizeof(float)];

inline void enter() {
  body();
  threads[current].runs = false;  // the context of the turns is next
}

inline void start(Thread& thread) {
  getcontext(&thread.context);
  thread.context.uc_stack.ss_sp = thread.stack.data();
  thread.context.uc_stack.ss_size = thread.stack.size();
  thread.context.uc_link = &turns;
  thread.runs = true;
  makecontext(&thread.context, enter, 0);
}

// Every thread that has not returned, up to its next barrier; returns how many there were.
inline size_t take_turns(const std::vector<size_t>& order) {
  size_t taken = 0;
  for (const size_t i : order) {
    if (!threads[i].runs) continue;
    current = i, threadIdx.x = static_cast<unsigned>(i);
    swapcontext(&turns, &threads[i].context);
    ++taken;
  }
  return taken;
}

inline void run_block(size_t size) {
  static std::mt19937 random;
  std::vector<size_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  if (threads.size() < size) threads.resize(size);
  for (const size_t i : order) start(threads[i]);
  do std::shuffle(order.begin(), order.end(), random);
  while (take_turns(order) > 0);
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), unsigned blocks, int size, size_t, cudaStream_t,
            const Arguments&... arguments) {
  gridDim.x = blocks, blockDim.x = static_cast<unsigned>(size);
  body = [&] { kernel(arguments...); };
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) run_block(static_cast<size_t>(size));
}

}  // namespace emulation

// Of threads that are not at the same instruction: what others may need is not known, so that it is needed at times.
inline bool __any_sync(unsigned, bool some) {
  static std::mt19937 random;
  return some || random() % 2 == 0;
}

inline void __syncthreads() { swapcontext(&emulation::threads[emulation::current].context, &emulation::turns); }
