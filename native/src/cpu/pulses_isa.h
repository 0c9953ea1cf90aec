// The table of kernels of pulses.cpp for one instruction set.
#pragma once

#include "memcore/pulses.h"

namespace memcore {

struct PulsesKernels {
  const char* name;
  void (*coincidences)(const Coincidences&);
  void (*pulse_order)(const PulseOrder&);
  void (*pulse_trains)(const TrainPulses&);
  void (*fold_states)(const FoldStates&);
};

extern const PulsesKernels pulses_baseline;
extern const PulsesKernels pulses_avx2;
extern const PulsesKernels pulses_avx512;
extern const PulsesKernels pulses_avx512_popcount;  // for isa "avx512", on processors that count the bits of vectors

}  // namespace memcore
