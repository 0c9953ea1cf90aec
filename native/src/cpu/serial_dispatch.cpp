// Hands serial reads to the kernel of the instruction set in use.
#include <cstring>

#include "memcore/kernels.h"
#include "serial_isa.h"

namespace memcore::cpu {
namespace {

const SerialKernels& chosen() {
#if MEMCORE_HAS_AVX512
  if (std::strcmp(isa(), serial_avx512.name) == 0) return serial_avx512;
#endif
#if MEMCORE_HAS_AVX2
  if (std::strcmp(isa(), serial_avx2.name) == 0) return serial_avx2;
#endif
  return serial_baseline;
}

}  // namespace

void serial_read(const SerialRead& args) { chosen().serial_read(args); }

bool looks_up_bytes() {
#if defined(__aarch64__) && !defined(__clang__)
  return true;
#else
  return &chosen() != &serial_baseline;
#endif
}

}  // namespace memcore::cpu
