// Hands matrices and cells to the kernels of the instruction set in use.
#include <cstring>

#include "cells_isa.h"
#include "memcore/kernels.h"

namespace memcore::cpu {
namespace {

const CellsKernels& chosen() {
#if MEMCORE_HAS_AVX512
  if (std::strcmp(isa(), cells_avx512.name) == 0) return cells_avx512;
#endif
#if MEMCORE_HAS_AVX2
  if (std::strcmp(isa(), cells_avx2.name) == 0) return cells_avx2;
#endif
  return cells_baseline;
}

}  // namespace

void matrix_sums(const MatrixSums& args) { chosen().matrix_sums(args); }
void lay_pairs(const LayPairs& args) { chosen().lay_pairs(args); }
void fold_pairs(const FoldPairs& args) { chosen().fold_pairs(args); }

}  // namespace memcore::cpu
