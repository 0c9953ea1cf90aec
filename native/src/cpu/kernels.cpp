// All CPU kernels, compiled once per instruction set: MEMCORE_VARIANT is baseline, avx2 or avx512.
//
// Nothing in here or in the headers below may have external linkage except the table, and nothing of the C++
// standard library may be used: the linker keeps one copy of an inline function, and if that copy was compiled for
// AVX-512, older processors crash in it.
#include "isa.h"
#include "levels_kernels.h"
#include "mvm_kernels.h"
#include "philox_kernels.h"
#include "pulse_energy_kernels.h"
#include "quantize_kernels.h"
#include "read_kernels.h"
#include "simulate_kernels.h"

#define MEMCORE_STRING_(x) #x
#define MEMCORE_STRING(x) MEMCORE_STRING_(x)
#define MEMCORE_JOIN_(a, b) a##b
#define MEMCORE_JOIN(a, b) MEMCORE_JOIN_(a, b)

namespace memcore {

extern const Kernels MEMCORE_JOIN(kernels_, MEMCORE_VARIANT) = {
    MEMCORE_STRING(MEMCORE_VARIANT),
    philox_uniform,
    philox_normal,
    philox_bernoulli,
    quantize_uniform,
    quantize_levels,
    crossbar_mvm,
    crossbar_read,
    simulate,
    pulse_energy,
    simulate_operation,
};

}  // namespace memcore
