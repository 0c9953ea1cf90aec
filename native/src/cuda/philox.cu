// Keyed random numbers: one thread computes the four lanes of one Philox counter.
#include "check.h"
#include "grid.h"
#include "lanes.h"
#include "memcore/kernels.h"

namespace memcore::cuda {
namespace {

struct BernoulliLanes {
  using Value = uint8_t;
  using Quad = uchar4;

  __device__ Quad quad(const Block& b) const {
    const float4 u = UniformLanes().quad(b);
    return {hit(u.x), hit(u.y), hit(u.z), hit(u.w)};
  }
  __device__ Value lane(const Block& b, int lane) const { return hit(UniformLanes().lane(b, lane)); }
  __device__ Value hit(float u) const { return u < p ? 1 : 0; }

  float p;
};

// Elements 0 .. size-1 of every read.
template <class Lanes>
__global__ void __launch_bounds__(kThreads)
    draw_range(Draws draws, Lanes lanes, bool vector, typename Lanes::Value* out) {
  const int64_t quads = (draws.size + kQuad - 1) / kQuad;
  for (GridWalk walk(quads); walk.outer < draws.n_reads; walk.next()) {
    const auto block =
        philox_block(draws.key, static_cast<uint64_t>(walk.inner), static_cast<uint64_t>(draws.reads[walk.outer]));
    const int64_t first = walk.inner * kQuad;
    store_quad(out + walk.outer * draws.size + first, lanes.quad(block), draws.size - first, vector);
  }
}

// The elements listed, of every read.
template <class Lanes>
__global__ void __launch_bounds__(kThreads) draw_listed(Draws draws, Lanes lanes, typename Lanes::Value* out) {
  for (GridWalk walk(draws.size); walk.outer < draws.n_reads; walk.next()) {
    const auto element = static_cast<uint64_t>(draws.elements[walk.inner]);
    const auto block = philox_block(draws.key, element / kQuad, static_cast<uint64_t>(draws.reads[walk.outer]));
    out[walk.outer * draws.size + walk.inner] = lanes.lane(block, static_cast<int>(element % kQuad));
  }
}

template <class Lanes>
void draw(const char* name, const Draws& draws, Lanes lanes, typename Lanes::Value* out, int device, void* stream) {
  if (draws.n_reads == 0 || draws.size == 0) return;
  const Launcher launcher(name, device, stream);
  if (draws.elements != nullptr) {
    const int64_t blocks = launcher.blocks(draws.n_reads * draws.size, kThreads);
    launcher.run(draw_listed<Lanes>, blocks, kThreads, 0, draws, lanes, out);
    return;
  }
  const bool vector = draws.size % kQuad == 0 && aligned(out, sizeof(typename Lanes::Quad));
  const int64_t blocks = launcher.blocks(draws.n_reads * ceil_div(draws.size, kQuad), kThreads);
  launcher.run(draw_range<Lanes>, blocks, kThreads, 0, draws, lanes, vector, out);
}

}  // namespace

void philox_uniform(const Draws& draws, float* out, int device, void* stream) {
  draw("philox_uniform", draws, UniformLanes{}, out, device, stream);
}

void philox_normal(const Draws& draws, float* out, int device, void* stream) {
  draw("philox_normal", draws, NormalLanes{}, out, device, stream);
}

void philox_bernoulli(const Draws& draws, float p, uint8_t* out, int device, void* stream) {
  draw("philox_bernoulli", draws, BernoulliLanes{p}, out, device, stream);
}

}  // namespace memcore::cuda
