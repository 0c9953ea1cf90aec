// What the words of a Philox block are as numbers, one for each of its four lanes. Internal linkage, as philox.h has
// it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "memcore/philox.h"

namespace memcore::cuda {
namespace {

// The even or the odd word of the pair that a lane belongs to.
__device__ inline uint32_t even_word(const Block& b, int lane) { return lane < 2 ? b.w[0] : b.w[2]; }
__device__ inline uint32_t odd_word(const Block& b, int lane) { return lane < 2 ? b.w[1] : b.w[3]; }

// A distribution turns the words of a block into one value per lane: quad() all four, lane() a
// single one.
struct UniformLanes {
  using Value = float;
  using Quad = float4;

  __device__ Quad quad(const Block& b) const {
    return {to_uniform(b.w[0]), to_uniform(b.w[1]), to_uniform(b.w[2]), to_uniform(b.w[3])};
  }
  __device__ Value lane(const Block& b, int lane) const {
    return to_uniform(lane % 2 == 0 ? even_word(b, lane) : odd_word(b, lane));
  }
};

struct NormalLanes {
  using Value = float;
  using Quad = float4;

  __device__ Quad quad(const Block& b) const {
    const Pair low = to_normal(b.w[0], b.w[1]);
    const Pair high = to_normal(b.w[2], b.w[3]);
    return {low.first, low.second, high.first, high.second};
  }
  __device__ Value lane(const Block& b, int lane) const {
    const Pair pair = to_normal(even_word(b, lane), odd_word(b, lane));
    return lane % 2 == 0 ? pair.first : pair.second;
  }
};

}  // namespace
}  // namespace memcore::cuda
