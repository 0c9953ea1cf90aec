// The table of kernels of cells.cpp for one instruction set.
#pragma once

#include "memcore/cells.h"
#include "memcore/pulses.h"

namespace memcore {

struct CellsKernels {
  const char* name;
  void (*matrix_sums)(const MatrixSums&);
  float (*largest_magnitude)(const float*, int64_t);
  void (*lay_pairs)(const LayPairs&);
  void (*fold_pairs)(const FoldPairs&);
  void (*cell_forms)(const CellForms&);
  void (*cell_shares)(const CellShares&);
  void (*cell_errors)(const CellErrors&);
  void (*counted_products)(const CountedProducts&);
};

extern const CellsKernels cells_baseline;
extern const CellsKernels cells_avx2;
extern const CellsKernels cells_avx512;

}  // namespace memcore
