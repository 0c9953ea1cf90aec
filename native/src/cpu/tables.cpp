// The kernels of tables, compiled once per instruction set; the rules of kernels.cpp hold here too.
#include "codebook_kernels.h"
#include "sensing_kernels.h"
#include "squares_kernels.h"
#include "tables_isa.h"

#define MEMCORE_STRING_(x) #x
#define MEMCORE_STRING(x) MEMCORE_STRING_(x)
#define MEMCORE_JOIN_(a, b) a##b
#define MEMCORE_JOIN(a, b) MEMCORE_JOIN_(a, b)

namespace memcore {

extern const TablesKernels MEMCORE_JOIN(tables_, MEMCORE_VARIANT) = {MEMCORE_STRING(MEMCORE_VARIANT), sensed_sums,
                                                                     codebook_product, weighted_squares};

}  // namespace memcore
