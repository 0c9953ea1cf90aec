// The kernels of cells, compiled once per instruction set and without contraction of sums (CMakeLists.txt); the rules
// of kernels.cpp hold here too.
#include "cell_forms_kernels.h"
#include "cells_isa.h"
#include "cells_kernels.h"
#include "counted_kernels.h"
#include "fold_kernels.h"

#define MEMCORE_STRING_(x) #x
#define MEMCORE_STRING(x) MEMCORE_STRING_(x)
#define MEMCORE_JOIN_(a, b) a##b
#define MEMCORE_JOIN(a, b) MEMCORE_JOIN_(a, b)

namespace memcore {

extern const CellsKernels MEMCORE_JOIN(cells_, MEMCORE_VARIANT) = {MEMCORE_STRING(MEMCORE_VARIANT),
                                                                   matrix_sums,
                                                                   largest_magnitude,
                                                                   lay_pairs,
                                                                   fold_pairs,
                                                                   cell_forms,
                                                                   cell_shares,
                                                                   cell_errors,
                                                                   counted_products};

}  // namespace memcore
