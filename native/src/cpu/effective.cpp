// The kernels of the effective matrix, compiled once per instruction set; the rules of kernels.cpp hold here too.
#include "effective_backward.h"
#include "effective_isa.h"
#include "effective_kernels.h"
#include "effective_voltages.h"

#define MEMCORE_STRING_(x) #x
#define MEMCORE_STRING(x) MEMCORE_STRING_(x)
#define MEMCORE_JOIN_(a, b) a##b
#define MEMCORE_JOIN(a, b) MEMCORE_JOIN_(a, b)

namespace memcore {

extern const EffectiveKernels MEMCORE_JOIN(effective_, MEMCORE_VARIANT) = {MEMCORE_STRING(MEMCORE_VARIANT),
                                                                           effective_conductance<float>,
                                                                           effective_conductance<double>,
                                                                           effective_conductance_backward<float>,
                                                                           effective_conductance_backward<double>,
                                                                           effective_conductance_kept<float>,
                                                                           effective_conductance_kept<double>,
                                                                           cell_voltages<float>,
                                                                           cell_voltages<double>};

}  // namespace memcore
