// Hands the effective matrix to the kernels of the instruction set in use.
#include <cstring>

#include "effective_isa.h"
#include "memcore/kernels.h"

namespace memcore::cpu {
namespace {

const EffectiveKernels& chosen() {
#if MEMCORE_HAS_AVX512
  if (std::strcmp(isa(), effective_avx512.name) == 0) return effective_avx512;
#endif
#if MEMCORE_HAS_AVX2
  if (std::strcmp(isa(), effective_avx2.name) == 0) return effective_avx2;
#endif
  return effective_baseline;
}

}  // namespace

double effective_conductance(const EffectiveConductance<float>& args) { return chosen().forward_float(args); }
double effective_conductance(const EffectiveConductance<double>& args) { return chosen().forward_double(args); }
double effective_conductance_backward(const EffectiveConductance<float>& args) { return chosen().backward_float(args); }
double effective_conductance_backward(const EffectiveConductance<double>& args) {
  return chosen().backward_double(args);
}
int64_t effective_conductance_kept(const EffectiveConductance<float>& args) { return chosen().kept_float(args); }
int64_t effective_conductance_kept(const EffectiveConductance<double>& args) { return chosen().kept_double(args); }
void cell_voltages(const CellVoltages<float>& args) { chosen().voltages_float(args); }
void cell_voltages(const CellVoltages<double>& args) { chosen().voltages_double(args); }

}  // namespace memcore::cpu
