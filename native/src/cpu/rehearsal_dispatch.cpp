// Hands cells to the kernels of the instruction set in use.
#include <cstring>

#include "memcore/kernels.h"
#include "rehearsal_isa.h"

namespace memcore::cpu {
namespace {

const RehearsalKernels& chosen() {
#if MEMCORE_HAS_AVX512
  if (std::strcmp(isa(), rehearsal_avx512.name) == 0) return rehearsal_avx512;
#endif
#if MEMCORE_HAS_AVX2
  if (std::strcmp(isa(), rehearsal_avx2.name) == 0) return rehearsal_avx2;
#endif
  return rehearsal_baseline;
}

}  // namespace

bool rehearsed_read(const RehearsedRead& args) { return chosen().rehearsed_read(args); }

}  // namespace memcore::cpu
