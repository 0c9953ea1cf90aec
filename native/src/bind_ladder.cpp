// Ladders, and the loops through cells between them, in memcore._cpu. All checks are in memcore/ops.
#include <pybind11/pybind11.h>

#include "bind.h"
#include "memcore/ladder.h"
#include "memcore/loops.h"

namespace py = pybind11;
using namespace memcore;

namespace {

template <class T>
int64_t size(int64_t rows, int64_t cols, bool across) {
  return cpu::ladder_size(LadderLines<T>{1, rows, cols, across, false});
}

template <class T>
void factor(int64_t arrays, int64_t rows, int64_t cols, bool across, bool near_last, Address shunt, Address segments,
            Address far, Address packed) {
  cpu::ladder_factor(LadderFactor<T>{{arrays, rows, cols, across, near_last},
                                     reinterpret_cast<const T*>(shunt),
                                     reinterpret_cast<const T*>(segments),
                                     reinterpret_cast<const T*>(far),
                                     reinterpret_cast<T*>(packed)});
}

template <class T>
void solve(int64_t arrays, int64_t rows, int64_t cols, bool across, bool near_last, int64_t each, Address packed,
           Address inputs, Address voltages, Address energy) {
  cpu::ladder_solve(LadderSolve<T>{{arrays, rows, cols, across, near_last},
                                   each,
                                   reinterpret_cast<const T*>(packed),
                                   reinterpret_cast<const T*>(inputs),
                                   reinterpret_cast<T*>(voltages),
                                   reinterpret_cast<double*>(energy)});
}

template <class T>
LoopLines<T> lines_at(const Address* at) {
  return {static_cast<int64_t>(at[0]), at[1] != 0, reinterpret_cast<const T*>(at[2]), reinterpret_cast<const T*>(at[3]),
          reinterpret_cast<const T*>(at[4])};
}

// `memory` is the address of two times five numbers, word lines first, as LoopLines has them.
template <class T>
void loops(int64_t arrays, int64_t rows, int64_t cols, Address memory, Address g, Address word_volts, Address bit_volts,
           double tolerance, double rounding, int64_t iterations, Address voltages, Address residual, Address lost) {
  const Address* const lines = reinterpret_cast<const Address*>(memory);
  cpu::loops_solve(LoopsSolve<T>{
      arrays, rows, cols, lines_at<T>(lines), lines_at<T>(lines + 5), reinterpret_cast<const T*>(g),
      reinterpret_cast<const T*>(word_volts), reinterpret_cast<const T*>(bit_volts), tolerance, rounding, iterations,
      reinterpret_cast<T*>(voltages), reinterpret_cast<double*>(residual), reinterpret_cast<double*>(lost)});
}

}  // namespace

void bind_ladder(py::module_& m);  // called by bind_cpu.cpp

void bind_ladder(py::module_& m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m.def("ladder_size_float", &size<float>, NoGil());
  m.def("ladder_size_double", &size<double>, NoGil());
  m.def("ladder_factor_float", &factor<float>, NoGil());
  m.def("ladder_factor_double", &factor<double>, NoGil());
  m.def("ladder_solve_float", &solve<float>, NoGil());
  m.def("ladder_solve_double", &solve<double>, NoGil());
  m.def("loops_solve_float", &loops<float>, NoGil());
  m.def("loops_solve_double", &loops<double>, NoGil());
}
