// Hands sums, codes and squares to the kernels of the instruction set in use.
#include <cstring>

#include "memcore/kernels.h"
#include "tables_isa.h"

namespace memcore::cpu {
namespace {

const TablesKernels& chosen() {
#if MEMCORE_HAS_AVX512
  if (std::strcmp(isa(), tables_avx512.name) == 0) return tables_avx512;
#endif
#if MEMCORE_HAS_AVX2
  if (std::strcmp(isa(), tables_avx2.name) == 0) return tables_avx2;
#endif
  return tables_baseline;
}

}  // namespace

void sensed_sums(const SensedSums& args) { chosen().sensed_sums(args); }
void codebook_product(const CodebookProduct& args) { chosen().codebook_product(args); }
double weighted_squares(const WeightedSquares& args) { return chosen().weighted_squares(args); }

}  // namespace memcore::cpu
