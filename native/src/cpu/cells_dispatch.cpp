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
float largest_magnitude(const float* x, int64_t count) { return chosen().largest_magnitude(x, count); }
void lay_pairs(const LayPairs& args) { chosen().lay_pairs(args); }
void fold_pairs(const FoldPairs& args) { chosen().fold_pairs(args); }
void cell_forms(const CellForms& args) { chosen().cell_forms(args); }
void cell_shares(const CellShares& args) { chosen().cell_shares(args); }
void cell_errors(const CellErrors& args) { chosen().cell_errors(args); }
void counted_products(const CountedProducts& args) { chosen().counted_products(args); }

}  // namespace memcore::cpu
