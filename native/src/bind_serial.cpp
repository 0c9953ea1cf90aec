// Serial reads in memcore._cpu. All checks are in memcore/ops.
#include "bind_serial.h"

#include <pybind11/pybind11.h>

namespace py = pybind11;
using namespace memcore;

namespace {

void serial_read(std::uintptr_t arguments, float dac_lo, float dac_hi, float lo, float hi) {
  const int64_t* next = reinterpret_cast<const int64_t*>(arguments);
  cpu::serial_read(serial_read_of(next, {dac_lo, dac_hi, lo, hi}));
}

}  // namespace

void bind_serial(py::module_& m);  // called by bind_cpu.cpp

void bind_serial(py::module_& m) {
  m.def("serial_read", &serial_read, py::call_guard<py::gil_scoped_release>());
  m.def("looks_up_bytes", &cpu::looks_up_bytes);
}
