// The kernels of ladders, compiled once per instruction set; the rules of kernels.cpp hold here too.
#include "ladder_isa.h"
#include "ladder_kernels.h"
#include "loops_kernels.h"

#define MEMCORE_STRING_(x) #x
#define MEMCORE_STRING(x) MEMCORE_STRING_(x)
#define MEMCORE_JOIN_(a, b) a##b
#define MEMCORE_JOIN(a, b) MEMCORE_JOIN_(a, b)

namespace memcore {

extern const LadderKernels MEMCORE_JOIN(ladder_, MEMCORE_VARIANT) = {MEMCORE_STRING(MEMCORE_VARIANT),
                                                                     ladder_size<float>,
                                                                     ladder_size<double>,
                                                                     ladder_factor<float>,
                                                                     ladder_factor<double>,
                                                                     ladder_solve<float>,
                                                                     ladder_solve<double>,
                                                                     loops_solve<float>,
                                                                     loops_solve<double>};

}  // namespace memcore
