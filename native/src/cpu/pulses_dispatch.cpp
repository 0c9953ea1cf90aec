// Hands pulses to the kernels of the instruction set in use.
#include <cstring>

#include "memcore/kernels.h"
#include "pulses_isa.h"

namespace memcore::cpu {
namespace {

const PulsesKernels& chosen() {
#if MEMCORE_HAS_AVX512
  if (std::strcmp(isa(), pulses_avx512.name) == 0)
    return __builtin_cpu_supports("avx512vpopcntdq") ? pulses_avx512_popcount : pulses_avx512;
#endif
#if MEMCORE_HAS_AVX2
  if (std::strcmp(isa(), pulses_avx2.name) == 0) return pulses_avx2;
#endif
  return pulses_baseline;
}

}  // namespace

void coincidences(const Coincidences& args) { chosen().coincidences(args); }
void pulse_order(const PulseOrder& args) { chosen().pulse_order(args); }
void pulse_trains(const TrainPulses& args) { chosen().pulse_trains(args); }
void fold_states(const FoldStates& args) { chosen().fold_states(args); }

}  // namespace memcore::cpu
