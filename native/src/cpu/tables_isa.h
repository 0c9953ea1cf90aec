// The table of kernels of tables.cpp for one instruction set.
#pragma once

#include "memcore/tables.h"

namespace memcore {

struct TablesKernels {
  const char* name;
  void (*sensed_sums)(const SensedSums&);
  void (*codebook_product)(const CodebookProduct&);
  double (*weighted_squares)(const WeightedSquares&);
};

extern const TablesKernels tables_baseline;
extern const TablesKernels tables_avx2;
extern const TablesKernels tables_avx512;

}  // namespace memcore
