// Runs a recorded device model for four cells a thread: an instruction is decoded once for them, and their numbers are
// one access of 16 bytes to shared memory. All threads of a warp are at the same instruction.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "grid.h"
#include "lanes.h"
#include "memcore/operations.h"
#include "memcore/philox.h"
#include "memcore/pulses.h"

namespace memcore::cuda {
namespace {

using Real = float;
constexpr unsigned kWholeWarp = 0xFFFFFFFFu;

// Elementary functions of the lists of operations.
__device__ inline float abs_(float x) { return fabsf(x); }
__device__ inline float sqrt_(float x) { return square_root(x); }
__device__ inline float exp_(float x) { return expf(x); }
__device__ inline float expm1_(float x) { return expm1f(x); }
__device__ inline float log_(float x) { return logf(x); }
__device__ inline float log1p_(float x) { return log1pf(x); }
__device__ inline float pow_(float x, float y) { return powf(x, y); }
__device__ inline float sinh_(float x) { return sinhf(x); }
__device__ inline float cosh_(float x) { return coshf(x); }
__device__ inline float asinh_(float x) { return asinhf(x); }
__device__ inline float tanh_(float x) { return tanhf(x); }
__device__ inline float sin_(float x) { return sinf(x); }
__device__ inline float cos_(float x) { return cosf(x); }
__device__ inline float atan_(float x) { return atanf(x); }
__device__ inline float erf_(float x) { return erff(x); }
__device__ inline float floor_(float x) { return floorf(x); }
__device__ inline float ceil_(float x) { return ceilf(x); }
__device__ inline float round_(float x) { return rintf(x); }
__device__ inline float trunc_(float x) { return truncf(x); }

#define MEMCORE_CODE(name, expression) kCode_##name,
enum Code : uint32_t {
  MEMCORE_UNARY(MEMCORE_CODE) MEMCORE_BINARY(MEMCORE_CODE) MEMCORE_TERNARY(MEMCORE_CODE) kNormal,
  kUniform,
  kSkipUnless,
  kSkipIf
};
#undef MEMCORE_CODE

// The numbers of four cells.
struct Four {
  float v[kQuad];
};

#define MEMCORE_CASE(name, expression)                    \
  case kCode_##name:                                      \
    for (int i = 0; i < kQuad; ++i) {                     \
      const float a = x.v[i], b = y.v[i], c = z.v[i];     \
      (void)a, (void)b, (void)c, out.v[i] = (expression); \
    }                                                     \
    break;
__device__ inline Four calculated(uint32_t code, const Four& x, const Four& y, const Four& z) {
  Four out = {};
  switch (code) { MEMCORE_UNARY(MEMCORE_CASE) MEMCORE_BINARY(MEMCORE_CASE) MEMCORE_TERNARY(MEMCORE_CASE) }
  return out;
}
#undef MEMCORE_CASE

struct Instruction {
  uint32_t code, out, operand[3];

  __device__ explicit Instruction(const uint2& word)
      : code(word.x & 255u), out(word.x >> 8 & 255u), operand{word.x >> 16, word.y & 0xFFFFu, word.y >> 16} {}
  __device__ int64_t left_out() const { return operand[1]; }
};

__device__ inline Instruction instruction(const RecordedModel& m, int64_t at) {
  return Instruction(__ldg(reinterpret_cast<const uint2*>(m.code) + at));
}

// What the threads of a block share: the constants, and the rows of all of them.
struct Memory {
  float* constants;
  float4* rows;  // [rows, threads]

  __device__ Memory(const RecordedModel& m, float* shared)
      : constants(shared), rows(reinterpret_cast<float4*>(shared + (m.n_constants + kQuad - 1) / kQuad * kQuad)) {}

  __device__ float4& row(uint32_t row) const { return rows[row * blockDim.x + threadIdx.x]; }
  __device__ float& constant(uint32_t operand) const { return constants[operand & (kScalar - 1u)]; }
};

// Loads the constants and computes those that follow from them, all threads together.
__device__ inline void prepare(const RecordedModel& m, const Memory& memory) {
  for (int64_t i = threadIdx.x; i < m.n_constants; i += blockDim.x) memory.constants[i] = m.constants[i];
  __syncthreads();
  for (int64_t at = 0; threadIdx.x == 0 && at < m.once; ++at) {
    const Instruction code = instruction(m, at);
    Four x[3];
    for (int k = 0; k < 3; ++k) x[k].v[0] = memory.constant(code.operand[k]);
    memory.constants[code.out] = calculated(code.code, x[0], x[1], x[2]).v[0];
  }
  __syncthreads();
}

// Which numbers are drawn: of a step, for four cells from one on.
struct Drawn {
  int64_t step, cell;
};

class Interpreter {
 public:
  __device__ Interpreter(const RecordedModel& model, const Memory& memory, const Drawn& drawn)
      : model_(model), memory_(memory), drawn_(drawn) {}

  __device__ void run() const {
    const int64_t end = model_.once + model_.length;
    for (int64_t at = model_.once; at < end; ++at) {
      const Instruction code = instruction(model_, at);
      if (code.code >= kSkipUnless)
        at += is_left_out(code) ? code.left_out() : 0;
      else
        execute(code);
    }
  }

 private:
  __device__ Four read(uint32_t operand) const {
    if (operand >= kScalar) {
      const float x = memory_.constant(operand);
      return {x, x, x, x};
    }
    const float4 x = memory_.row(operand);
    return {x.x, x.y, x.z, x.w};
  }

  __device__ void execute(const Instruction& code) const {
    Four out;
    if (code.code >= kNormal)
      out = draw(code);
    else
      out = calculated(code.code, read(code.operand[0]), read(code.operand[1]), read(code.operand[2]));
    memory_.row(code.out) = {out.v[0], out.v[1], out.v[2], out.v[3]};
  }

  // Whether no cell of the warp needs what follows.
  __device__ bool is_left_out(const Instruction& code) const {
    const Four x = read(code.operand[0]);
    bool some = false;
    for (int i = 0; i < kQuad; ++i) some |= (x.v[i] != 0.0f) == (code.code == kSkipUnless);
    return !__any_sync(kWholeWarp, some);
  }

  __device__ Four draw(const Instruction& code) const {
    const int64_t* const key = model_.keys + 2 * code.operand[0];
    const auto read = static_cast<uint64_t>(drawn_.step) + static_cast<uint64_t>(key[1]);
    Four out;
    for (int i = 0; i < kQuad; ++i) {
      const auto element = static_cast<uint64_t>(drawn_.cell + i);
      const Block b = philox_block(static_cast<uint64_t>(key[0]), element / kQuad, read);
      const float4 z = code.code == kNormal ? NormalLanes().quad(b) : UniformLanes().quad(b);
      if (element % kQuad == 0 && i == 0) return {z.x, z.y, z.z, z.w};
      const float low = element % 2 == 0 ? z.x : z.y, high = element % 2 == 0 ? z.z : z.w;
      out.v[i] = element % kQuad < 2 ? low : high;
    }
    return out;
  }

  const RecordedModel& model_;
  const Memory& memory_;
  const Drawn& drawn_;
};

}  // namespace
}  // namespace memcore::cuda
