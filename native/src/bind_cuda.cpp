// memcore._cuda: addresses, sizes, a device index and a stream in, nothing out. All checks are in
// memcore/ops. Links no driver: importing works without one, and the first call then raises
// RuntimeError.
#include <pybind11/pybind11.h>

#include "bind.h"
#include "bind_serial.h"
#include "cuda/build.h"
#include "memcore/kernels.h"
#include "memcore/pulses.h"
#include "memcore/read.h"
#include "memcore/tables.h"

namespace py = pybind11;
using namespace memcore;

namespace {

Draws draws(Address reads, int64_t n_reads, Address elements, int64_t size, int64_t key) {
  return {at<const int64_t>(reads), n_reads, at<const int64_t>(elements), size, static_cast<uint64_t>(key)};
}

void uniform(Address reads, int64_t n_reads, Address elements, int64_t size, int64_t key, Address out, int device,
             Address stream) {
  cuda::philox_uniform(draws(reads, n_reads, elements, size, key), at<float>(out), device, at<void>(stream));
}

void normal(Address reads, int64_t n_reads, Address elements, int64_t size, int64_t key, Address out, int device,
            Address stream) {
  cuda::philox_normal(draws(reads, n_reads, elements, size, key), at<float>(out), device, at<void>(stream));
}

void bernoulli(Address reads, int64_t n_reads, Address elements, int64_t size, int64_t key, float p, Address out,
               int device, Address stream) {
  cuda::philox_bernoulli(draws(reads, n_reads, elements, size, key), p, at<uint8_t>(out), device, at<void>(stream));
}

void quantize_uniform(Address x, int64_t count, Address step, int64_t cols, float lo, float hi, Address out, int device,
                      Address stream) {
  cuda::quantize_uniform({at<const float>(x), count, at<const float>(step), cols, lo, hi, at<float>(out)}, device,
                         at<void>(stream));
}

void quantize_levels(Address x, int64_t count, Address levels, int64_t n_levels, int64_t cols, Address out, int device,
                     Address stream) {
  cuda::quantize_levels({at<const float>(x), count, at<const float>(levels), n_levels, cols, at<float>(out)}, device,
                        at<void>(stream));
}

void crossbar_mvm(Address x, Address panels, Address dac, Address scale, int64_t scale_size, Address bias, int64_t n,
                  int64_t groups, int64_t rows, int64_t cols, int64_t tile_rows, float lo, float hi, Address out,
                  int device, Address stream) {
  cuda::crossbar_mvm({at<const float>(x), at<const float>(panels), at<const float>(dac), at<const float>(scale),
                      scale_size, at<const float>(bias), n, groups, rows, cols, tile_rows, lo, hi, at<float>(out)},
                     device, at<void>(stream));
}

void crossbar_read(Address x, Address panels, Address variance, Address reads, Address dac, Address scale, Address bias,
                   int64_t key, int64_t scale_size, int64_t n, int64_t groups, int64_t rows, int64_t cols,
                   int64_t values, int64_t tile_rows, float lo, float hi, Address out, int device, Address stream) {
  CrossbarRead r = {};
  r.x = at<const float>(x), r.panels = at<const float>(panels), r.variance = at<const float>(variance);
  r.reads = at<const int64_t>(reads);
  r.dac = at<const float>(dac), r.scale = at<const float>(scale), r.bias = at<const float>(bias);
  r.key = static_cast<uint64_t>(key);
  r.scale_size = scale_size, r.images = n, r.groups = groups, r.channels = rows;
  r.cols = cols, r.values = values, r.tile_rows = tile_rows;
  r.lo = lo, r.hi = hi;
  r.out = at<float>(out);
  cuda::crossbar_read(r, device, at<void>(stream));
}

void coincidences(Address rows, Address cols, Address length, int64_t n, int64_t groups, int64_t inputs,
                  int64_t outputs, int64_t row_key, int64_t col_key, int64_t first, Address up, Address down,
                  Address ends, int64_t words, Address row_words, Address col_words, int device, Address stream) {
  cuda::coincidences(
      {at<const float>(rows), at<const float>(cols), at<const float>(length), n, groups, inputs, outputs,
       static_cast<uint64_t>(row_key), static_cast<uint64_t>(col_key), first, at<float>(up), at<float>(down)},
      {at<const int64_t>(ends), words, at<uint32_t>(row_words), at<uint32_t>(col_words)}, device, at<void>(stream));
}

void first_pulses(Address up, Address down, int64_t count, int64_t key, int64_t read, Address first, int device,
                  Address stream) {
  cuda::first_pulses(
      {at<const float>(up), at<const float>(down), count, static_cast<uint64_t>(key), read, at<float>(first)}, device,
      at<void>(stream));
}

void serial_read(Address arguments, float dac_lo, float dac_hi, float lo, float hi, int device, Address stream) {
  const int64_t* next = at<const int64_t>(arguments);
  const SerialRead r = serial_read_of(next, {dac_lo, dac_hi, lo, hi});
  SerialWords w = {};
  w.words = reinterpret_cast<int32_t*>(*next++);
  w.invalid = reinterpret_cast<uint8_t*>(*next++);
  w.together = *next++, w.slots = *next++, w.wide = *next++ != 0;
  cuda::serial_read(r, w, device, at<void>(stream));
}

void sensed_sums(Address bits, Address cells, Address reads, int64_t key, int64_t n, int64_t groups, int64_t units,
                 int64_t rows, int64_t cols, int64_t lines, int64_t sensed, Address out, Address bit_words,
                 Address cell_words, Address pairs, int device, Address stream) {
  cuda::sensed_sums(
      {at<const uint8_t>(bits), at<const uint8_t>(cells), at<const int64_t>(reads), static_cast<uint64_t>(key), nullptr,
       nullptr, n, groups, units, rows, cols, lines, sensed, at<float>(out)},
      {at<uint32_t>(bit_words), at<uint32_t>(cell_words), at<const float>(pairs)}, device, at<void>(stream));
}

void codebook_product(Address x, Address codes, Address book, Address bias, int64_t n, int64_t rows, int64_t cols,
                      int64_t bits, Address out, int device, Address stream) {
  cuda::codebook_product({at<const float>(x), at<const uint8_t>(codes), at<const float>(book), at<const float>(bias), n,
                          rows, cols, bits, at<float>(out)},
                         device, at<void>(stream));
}

// Integers in one row, in the order of memcore/ops/cell_moves.py.
void move_cells(Address arguments, int device, Address stream) {
  const int64_t* next = at<const int64_t>(arguments);
  CellMoves m = {};
  Coincidences& c = m.trains;
  for (const float** const to : {&c.rows, &c.cols, &c.length}) *to = at<const float>(static_cast<Address>(*next++));
  for (int64_t* const to : {&c.n, &c.groups, &c.inputs, &c.outputs}) *to = *next++;
  for (uint64_t* const to : {&c.row_key, &c.col_key}) *to = static_cast<uint64_t>(*next++);
  c.first = *next++;
  for (float** const to : {&c.up, &c.down}) *to = at<float>(static_cast<Address>(*next++));
  m.words.ends = at<const int64_t>(static_cast<Address>(*next++));
  m.words.words = *next++;
  for (uint32_t** const to : {&m.words.rows, &m.words.cols}) *to = at<uint32_t>(static_cast<Address>(*next++));
  PulseOrder& p = m.order;
  for (int64_t* const to : {&p.rows, &p.cols, &p.array_rows, &p.array_cols, &p.data_cols, &p.end}) *to = *next++;
  p.key = static_cast<uint64_t>(*next++);
  p.read = *next++;
  p.sums = at<double>(static_cast<Address>(*next++));
  RecordedModel& r = m.model;
  r.code = at<const uint64_t>(static_cast<Address>(*next++));
  r.constants = at<const float>(static_cast<Address>(*next++));
  for (const int64_t** const to : {&r.params, &r.keys}) *to = at<const int64_t>(static_cast<Address>(*next++));
  for (int64_t* const to : {&r.once, &r.length, &r.n_constants, &r.n_registers, &r.n_state, &r.n_params}) *to = *next++;
  m.conductance = at<float>(static_cast<Address>(*next++));
  for (int64_t k = 0; k + 1 < r.n_state; ++k) m.state[k] = at<float>(static_cast<Address>(*next++));
  m.parts = *next++;
  m.opposite = static_cast<uint64_t>(*next++);
  m.always = *next++ != 0;
  for (int64_t* const to : {&m.first_step, &m.threads}) *to = *next++;
  p.conductance = m.conductance;
  cuda::move_cells(m, device, at<void>(stream));
}

}  // namespace

PYBIND11_MODULE(_cuda, m, py::mod_gil_not_used()) {
  m.doc() = "CUDA kernels of memcore; called by memcore.ops only";
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m.def("philox_uniform", &uniform, NoGil());
  m.def("philox_normal", &normal, NoGil());
  m.def("philox_bernoulli", &bernoulli, NoGil());
  m.def("quantize_uniform", &quantize_uniform, NoGil());
  m.def("quantize_levels", &quantize_levels, NoGil());
  m.def("crossbar_mvm", &crossbar_mvm, NoGil());
  m.def("crossbar_read", &crossbar_read, NoGil());
  m.def("coincidences", &coincidences, NoGil());
  m.def("first_pulses", &first_pulses, NoGil());
  m.def("serial_read", &serial_read, NoGil());
  m.def("sensed_sums", &sensed_sums, NoGil());
  m.def("codebook_product", &codebook_product, NoGil());
  m.def("move_cells", &move_cells, NoGil());
  m.def("build", &cuda::build, "CUDA toolkit and compute capabilities that the kernels were compiled with");
}
