// The effective matrix in memcore._cpu. All checks are in memcore/ops.
#include <pybind11/pybind11.h>

#include "bind.h"
#include "memcore/effective.h"

namespace py = pybind11;
using namespace memcore;

namespace {

template <class T>
EffectiveConductance<T> arguments(Address g, Address word, Address bit, int64_t arrays, int64_t rows, int64_t cols,
                                  bool drive_both, bool sense_both) {
  EffectiveConductance<T> args{};
  args.arrays = arrays, args.rows = rows, args.cols = cols;
  args.drive_both = drive_both, args.sense_both = sense_both;
  args.g = reinterpret_cast<const T*>(g);
  args.word = reinterpret_cast<const T*>(word);
  args.bit = reinterpret_cast<const T*>(bit);
  return args;
}

template <class T>
double forward(Address g, Address word, Address bit, int64_t arrays, int64_t rows, int64_t cols, bool drive_both,
               bool sense_both, Address kept, Address out) {
  EffectiveConductance<T> args = arguments<T>(g, word, bit, arrays, rows, cols, drive_both, sense_both);
  args.kept = reinterpret_cast<T*>(kept);
  args.out = reinterpret_cast<T*>(out);
  return cpu::effective_conductance(args);
}

template <class T>
double backward(Address g, Address word, Address bit, int64_t arrays, int64_t rows, int64_t cols, bool drive_both,
                bool sense_both, Address kept, Address grad, Address grad_g, Address grad_word, Address grad_bit) {
  EffectiveConductance<T> args = arguments<T>(g, word, bit, arrays, rows, cols, drive_both, sense_both);
  args.kept = reinterpret_cast<T*>(kept);
  args.grad = reinterpret_cast<const T*>(grad);
  args.grad_g = reinterpret_cast<T*>(grad_g);
  args.grad_word = reinterpret_cast<T*>(grad_word);
  args.grad_bit = reinterpret_cast<T*>(grad_bit);
  return cpu::effective_conductance_backward(args);
}

template <class T>
int64_t kept(int64_t rows, int64_t cols, bool drive_both, bool sense_both) {
  return cpu::effective_conductance_kept(arguments<T>(0, 0, 0, 1, rows, cols, drive_both, sense_both));
}

template <class T>
void voltages(Address g, Address word, Address bit, int64_t arrays, int64_t rows, int64_t cols, bool drive_both,
              bool sense_both, int64_t drives, Address word_volts, Address bit_volts, Address out) {
  CellVoltages<T> args{};
  args.crossbars = arguments<T>(g, word, bit, arrays, rows, cols, drive_both, sense_both);
  args.drives = drives;
  args.word_volts = reinterpret_cast<const T*>(word_volts);
  args.bit_volts = reinterpret_cast<const T*>(bit_volts);
  args.voltages = reinterpret_cast<T*>(out);
  cpu::cell_voltages(args);
}

}  // namespace

void bind_effective(py::module_& m);  // called by bind_cpu.cpp

void bind_effective(py::module_& m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m.def("effective_conductance_float", &forward<float>, NoGil());
  m.def("effective_conductance_double", &forward<double>, NoGil());
  m.def("effective_conductance_kept_float", &kept<float>, NoGil());
  m.def("effective_conductance_kept_double", &kept<double>, NoGil());
  m.def("effective_conductance_backward_float", &backward<float>, NoGil());
  m.def("effective_conductance_backward_double", &backward<double>, NoGil());
  m.def("cell_voltages_float", &voltages<float>, NoGil());
  m.def("cell_voltages_double", &voltages<double>, NoGil());
}
