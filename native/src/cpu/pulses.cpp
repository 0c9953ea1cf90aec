// The kernels of pulses, compiled once per instruction set; the rules of kernels.cpp hold here too.
#include "fold_states_kernels.h"
#include "pulse_trains_kernels.h"
#include "pulses_isa.h"
#include "pulses_kernels.h"

#define MEMCORE_STRING_(x) #x
#define MEMCORE_STRING(x) MEMCORE_STRING_(x)
#define MEMCORE_JOIN_(a, b) a##b
#define MEMCORE_JOIN(a, b) MEMCORE_JOIN_(a, b)

namespace memcore {

extern const PulsesKernels MEMCORE_JOIN(pulses_, MEMCORE_VARIANT) = {MEMCORE_STRING(MEMCORE_VARIANT), coincidences,
                                                                     pulse_order, pulse_trains, fold_states};

}  // namespace memcore
