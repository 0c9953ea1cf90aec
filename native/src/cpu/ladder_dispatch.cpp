// Hands ladders to the kernels of the instruction set in use.
#include <cstring>

#include "ladder_isa.h"
#include "memcore/kernels.h"

namespace memcore::cpu {
namespace {

const LadderKernels& chosen() {
#if MEMCORE_HAS_AVX512
  if (std::strcmp(isa(), ladder_avx512.name) == 0) return ladder_avx512;
#endif
#if MEMCORE_HAS_AVX2
  if (std::strcmp(isa(), ladder_avx2.name) == 0) return ladder_avx2;
#endif
  return ladder_baseline;
}

}  // namespace

int64_t ladder_size(const LadderLines<float>& lines) { return chosen().size_float(lines); }
int64_t ladder_size(const LadderLines<double>& lines) { return chosen().size_double(lines); }
void ladder_factor(const LadderFactor<float>& args) { chosen().factor_float(args); }
void ladder_factor(const LadderFactor<double>& args) { chosen().factor_double(args); }
void ladder_solve(const LadderSolve<float>& args) { chosen().solve_float(args); }
void ladder_solve(const LadderSolve<double>& args) { chosen().solve_double(args); }
void loops_solve(const LoopsSolve<float>& args) { chosen().loops_float(args); }
void loops_solve(const LoopsSolve<double>& args) { chosen().loops_double(args); }

}  // namespace memcore::cpu
