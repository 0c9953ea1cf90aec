// Which pulses come first, four weights a thread. A block of random numbers has a bit for each of 128 weights, and is
// drawn only where one of the four takes pulses both ways.
#include "check.h"
#include "grid.h"
#include "memcore/philox.h"
#include "memcore/pulses.h"

namespace memcore::cuda {
namespace {

constexpr int64_t kBits = 128;  // of a block of random numbers
constexpr int kWordBits = 32;

__device__ inline bool takes_both(float up, float down) { return up > 0.0f && down > 0.0f; }

// The bits of four weights, from that of weight `first` on, a multiple of four.
__device__ inline uint32_t coins(const FirstPulses& p, int64_t first) {
  const Block b = philox_block(p.key, static_cast<uint64_t>(first / kBits), static_cast<uint64_t>(p.read));
  const int word = static_cast<int>(first / kWordBits % 4);
  const uint32_t low = word % 2 == 0 ? b.w[0] : b.w[1], high = word % 2 == 0 ? b.w[2] : b.w[3];
  return (word < 2 ? low : high) >> (first % kWordBits);
}

__device__ inline float first_of(float up, float down, bool up_first) {
  if (!takes_both(up, down)) return up - down;
  return up_first ? up : -down;
}

__global__ void __launch_bounds__(kThreads) choose_first(FirstPulses p, bool vector) {
  const int64_t quads = (p.count + kQuad - 1) / kQuad, stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < quads; i += stride) {
    const int64_t at = i * kQuad, left = p.count - at;
    const float4 u = load_quad(p.up + at, left, vector), d = load_quad(p.down + at, left, vector);
    const bool both = takes_both(u.x, d.x) || takes_both(u.y, d.y) || takes_both(u.z, d.z) || takes_both(u.w, d.w);
    const uint32_t bits = both ? coins(p, at) : 0u;
    const float4 first = {first_of(u.x, d.x, bits & 1u), first_of(u.y, d.y, bits & 2u), first_of(u.z, d.z, bits & 4u),
                          first_of(u.w, d.w, bits & 8u)};
    store_quad(p.first + at, first, left, vector);
  }
}

}  // namespace

void first_pulses(const FirstPulses& args, int device, void* stream) {
  if (args.count == 0) return;
  const Launcher launcher("first_pulses", device, stream);
  const bool vector = aligned(args.up, 16) && aligned(args.down, 16) && aligned(args.first, 16);
  launcher.run(choose_first, launcher.blocks(ceil_div(args.count, kQuad), kThreads), kThreads, 0, args, vector);
}

}  // namespace memcore::cuda
