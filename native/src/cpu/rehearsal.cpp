// The kernel of cells in the order of the weights, compiled once per instruction set; the rules of kernels.cpp hold
// here.
#include "rehearsal_isa.h"
#include "rehearsal_kernels.h"

#define MEMCORE_STRING_(x) #x
#define MEMCORE_STRING(x) MEMCORE_STRING_(x)
#define MEMCORE_JOIN_(a, b) a##b
#define MEMCORE_JOIN(a, b) MEMCORE_JOIN_(a, b)

namespace memcore {

extern const RehearsalKernels MEMCORE_JOIN(rehearsal_, MEMCORE_VARIANT) = {MEMCORE_STRING(MEMCORE_VARIANT),
                                                                           rehearsed_read};

}  // namespace memcore
