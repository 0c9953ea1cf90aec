// Chooses the kernels for this machine, once.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "isa.h"
#include "memcore/kernels.h"
#include "memcore/read.h"
#include "parallel.h"

namespace memcore {
namespace {

std::vector<const Kernels*> supported() {  // best last
  std::vector<const Kernels*> found{&kernels_baseline};
#if MEMCORE_HAS_AVX2
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&kernels_avx2);
#endif
#if MEMCORE_HAS_AVX512
  if (found.size() == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    found.push_back(&kernels_avx512);
#endif
  return found;
}

const Kernels* choose() {
  const auto found = supported();
  const char* wanted = std::getenv("MEMCORE_ISA");
  if (wanted == nullptr || *wanted == '\0') return found.back();
  std::string names;
  for (const Kernels* kernels : found) {
    if (std::strcmp(kernels->name, wanted) == 0) return kernels;
    names += std::string(names.empty() ? "" : ", ") + kernels->name;
  }
  throw std::runtime_error("MEMCORE_ISA is '" + std::string(wanted) + "', but this machine has: " + names +
                           "; unset it to use the best of them");
}

const Kernels& chosen() {
  static const Kernels* const kernels = choose();  // if choose() throws, the next call tries again
  return *kernels;
}

}  // namespace

constexpr std::align_val_t kCacheLine{64};

float* allocate(int64_t floats) {
  return static_cast<float*>(::operator new(static_cast<std::size_t>((floats + 15) / 16 * 64 + 64), kCacheLine));
}

void release(float* memory) { ::operator delete(memory, kCacheLine); }

void throw_out_of_memory() { throw std::bad_alloc(); }

namespace cpu {

void philox_uniform(const Draws& draws, float* out) { chosen().philox_uniform(draws, out); }
void philox_normal(const Draws& draws, float* out) { chosen().philox_normal(draws, out); }
void philox_bernoulli(const Draws& draws, float p, uint8_t* out) { chosen().philox_bernoulli(draws, p, out); }
void quantize_uniform(const QuantizeUniform& args) { chosen().quantize_uniform(args); }
void quantize_levels(const QuantizeLevels& args) { chosen().quantize_levels(args); }
void crossbar_mvm(const CrossbarMvm& args) { chosen().crossbar_mvm(args); }
void crossbar_read(const CrossbarRead& args) { chosen().crossbar_read(args); }
bool multiplies_narrow() {
#if MEMCORE_HAS_AVX512
  return &chosen() == &kernels_avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}
void simulate(const Simulate& args) { chosen().simulate(args); }
void pulse_energy(const PulseEnergy& args) { chosen().pulse_energy(args); }
const char* simulate_operation(int64_t code) { return chosen().simulate_operation(code); }

const char* isa() { return chosen().name; }
int threads() { return max_threads(); }

void use_large_pages(void* memory, int64_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t page = 2 * 1024 * 1024;
  const uintptr_t at = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t begin = (at + page - 1) / page * page, end = (at + static_cast<uintptr_t>(bytes)) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // a failure costs time only
#else
  (void)memory, (void)bytes;
#endif
}

}  // namespace cpu
}  // namespace memcore
