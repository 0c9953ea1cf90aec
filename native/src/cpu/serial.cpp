// The kernel of serial reads, compiled once per instruction set; the rules of kernels.cpp hold here too. No sum is
// contracted to a fused multiply-add: the digital adder rounds as sums of tensors do.
#include "serial_kernels.h"

#include "serial_isa.h"

#define MEMCORE_STRING_(x) #x
#define MEMCORE_STRING(x) MEMCORE_STRING_(x)
#define MEMCORE_JOIN_(a, b) a##b
#define MEMCORE_JOIN(a, b) MEMCORE_JOIN_(a, b)

namespace memcore {

extern const SerialKernels MEMCORE_JOIN(serial_, MEMCORE_VARIANT) = {MEMCORE_STRING(MEMCORE_VARIANT), serial_read};

}  // namespace memcore
