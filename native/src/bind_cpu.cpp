// memcore._cpu: addresses and sizes in, nothing out. All checks are in memcore/ops.
#include <pybind11/pybind11.h>

#include "bind.h"
#include "bind_model.h"
#include "memcore/kernels.h"
#include "memcore/read.h"

namespace py = pybind11;
using namespace memcore;

void bind_rehearsal(py::module_& m);  // bind_rehearsal.cpp
void bind_effective(py::module_& m);  // bind_effective.cpp
void bind_ladder(py::module_& m);     // bind_ladder.cpp
void bind_pulses(py::module_& m);     // bind_pulses.cpp
void bind_cells(py::module_& m);      // bind_cells.cpp
void bind_serial(py::module_& m);     // bind_serial.cpp
void bind_tables(py::module_& m);     // bind_tables.cpp

namespace {

Draws draws(Address reads, int64_t n_reads, Address elements, int64_t size, int64_t key, int64_t first = 0) {
  return {at<const int64_t>(reads), n_reads, at<const int64_t>(elements), size, static_cast<uint64_t>(key), first};
}

void uniform(Address reads, int64_t n_reads, Address elements, int64_t size, int64_t key, Address out, int64_t first) {
  cpu::philox_uniform(draws(reads, n_reads, elements, size, key, first), at<float>(out));
}

void normal(Address reads, int64_t n_reads, Address elements, int64_t size, int64_t key, Address out, int64_t first) {
  cpu::philox_normal(draws(reads, n_reads, elements, size, key, first), at<float>(out));
}

void bernoulli(Address reads, int64_t n_reads, Address elements, int64_t size, int64_t key, float p, Address out) {
  cpu::philox_bernoulli(draws(reads, n_reads, elements, size, key), p, at<uint8_t>(out));
}

void quantize_uniform(Address x, int64_t count, Address step, int64_t cols, float lo, float hi, Address out) {
  cpu::quantize_uniform({at<const float>(x), count, at<const float>(step), cols, lo, hi, at<float>(out)});
}

void quantize_levels(Address x, int64_t count, Address levels, int64_t n_levels, int64_t cols, Address out) {
  cpu::quantize_levels({at<const float>(x), count, at<const float>(levels), n_levels, cols, at<float>(out)});
}

void crossbar_mvm(Address x, Address panels, Address dac, Address scale, int64_t scale_size, Address bias, int64_t n,
                  int64_t groups, int64_t rows, int64_t cols, int64_t tile_rows, float lo, float hi, Address out) {
  cpu::crossbar_mvm({at<const float>(x), at<const float>(panels), at<const float>(dac), at<const float>(scale),
                     scale_size, at<const float>(bias), n, groups, rows, cols, tile_rows, lo, hi, at<float>(out)});
}

// Everything but the codes in one row of 64-bit integers, in the order of memcore/ops/crossbar_read.py.
void crossbar_read(Address arguments, float lo, float hi) {
  const int64_t* next = at<const int64_t>(arguments);
  CrossbarRead r = {};
  Window& w = r.window;
  for (int64_t* const to : {w.space, w.before, w.padded, w.kernel, w.stride, w.dilation, w.positions})
    for (int i = 0; i < 3; ++i) to[i] = *next++;
  for (const float** const to : {&r.x, &r.panels, &r.variance, &r.dac, &r.scale, &r.bias, &r.unit})
    *to = at<const float>(static_cast<Address>(*next++));
  r.narrow = at<const uint32_t>(static_cast<Address>(*next++));
  r.reads = at<const int64_t>(static_cast<Address>(*next++));
  r.out = at<float>(static_cast<Address>(*next++));
  r.key = static_cast<uint64_t>(*next++);
  for (int64_t* const to : {&r.scale_size, &r.images, &r.groups, &r.channels, &r.cols, &r.values, &r.tile_rows})
    *to = *next++;
  r.channels_first = *next++ != 0;
  r.lo = lo;
  r.hi = hi;
  cpu::crossbar_read(r);
}

// Inputs [n, groups, rows] with noise; the numbers of the reads begin at `first`, `step` apart.
void crossbar_rows(Address x, Address panels, Address variance, Address narrow, Address dac, Address scale,
                   int64_t scale_size, Address bias, int64_t n, int64_t groups, int64_t rows, int64_t cols,
                   int64_t values, int64_t tile_rows, int64_t key, int64_t first, int64_t step, float lo, float hi,
                   Address out) {
  CrossbarRead r = {};
  Window& w = r.window;
  for (int64_t* const to : {w.space, w.padded, w.kernel, w.stride, w.dilation, w.positions})
    for (int i = 0; i < 3; ++i) to[i] = 1;
  r.x = at<const float>(x), r.panels = at<const float>(panels), r.variance = at<const float>(variance);
  r.narrow = at<const uint32_t>(narrow);
  r.dac = at<const float>(dac), r.scale = at<const float>(scale), r.bias = at<const float>(bias);
  r.key = static_cast<uint64_t>(key), r.first_read = first, r.read_step = step;
  r.scale_size = scale_size, r.images = n, r.groups = groups, r.channels = rows;
  r.cols = cols, r.values = values, r.tile_rows = tile_rows, r.lo = lo, r.hi = hi;
  r.out = at<float>(out);
  cpu::crossbar_read(r);
}

// Everything in one row of 64-bit integers, in the order of memcore/dynamics/recording/run.py.
void simulate(Address arguments) {
  const int64_t* next = at<const int64_t>(arguments);
  Simulate s = model(next);
  s.shared = *next++ != 0;
  s.params = at<const int64_t>(static_cast<Address>(*next++));
  s.keys = at<const int64_t>(static_cast<Address>(*next++));
  s.voltage = at<const void>(static_cast<Address>(*next++));
  s.state = at<const int64_t>(static_cast<Address>(*next++));
  s.last = at<const int64_t>(static_cast<Address>(*next++));
  s.record = at<void>(static_cast<Address>(*next++));
  for (int64_t* const to : {&s.stride, &s.steps, &s.cells, &s.first_step, &s.first_cell}) *to = *next++;
  cpu::simulate(s);
}

// Integers in one row, in the order of memcore/dynamics/recording/pulse.py.
void pulse_energy(Address arguments, double width, double accuracy, double change, double missed, double same) {
  const int64_t* next = at<const int64_t>(arguments);
  PulseEnergy p = {};
  p.step = model(next);
  p.power = model(next);
  p.step.steps = *next++;
  p.power.steps = 1;
  p.params = at<const int64_t>(static_cast<Address>(*next++));
  p.n_params = *next++;
  for (const void** const to : {&p.begin, &p.end, &p.voltage}) *to = at<const void>(static_cast<Address>(*next++));
  p.energy = at<void>(static_cast<Address>(*next++));
  p.cells = *next++;
  p.width = width, p.accuracy = accuracy, p.change = change, p.missed = missed, p.same = same;
  cpu::pulse_energy(p);
}

}  // namespace

PYBIND11_MODULE(_cpu, m, py::mod_gil_not_used()) {
  m.doc() = "CPU kernels of memcore; called by memcore.ops only";
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m.def("philox_uniform", &uniform, NoGil());
  m.def("philox_normal", &normal, NoGil());
  m.def("philox_bernoulli", &bernoulli, NoGil());
  m.def("quantize_uniform", &quantize_uniform, NoGil());
  m.def("quantize_levels", &quantize_levels, NoGil());
  m.def("crossbar_mvm", &crossbar_mvm, NoGil());
  m.def("crossbar_read", &crossbar_read, NoGil());
  m.def("crossbar_rows", &crossbar_rows, NoGil());
  m.def("multiplies_narrow", &cpu::multiplies_narrow);
  m.def("simulate", &simulate, NoGil());
  m.def("pulse_energy", &pulse_energy, NoGil());
  m.def("simulate_operation", &cpu::simulate_operation, "Name of an operation by its code, None beyond the last");
  bind_rehearsal(m);
  bind_effective(m);
  bind_ladder(m);
  bind_pulses(m);
  bind_cells(m);
  bind_serial(m);
  bind_tables(m);
  m.def(
      "use_large_pages", [](Address memory, int64_t bytes) { cpu::use_large_pages(at<void>(memory), bytes); }, NoGil());
  m.def("isa", &cpu::isa, "Instruction set in use; raises RuntimeError for a MEMCORE_ISA that cannot be had");
  m.def("threads", &cpu::threads, "Threads that the next kernel may use");
}
