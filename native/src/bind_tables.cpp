// Sums, codes and squares in memcore._cpu. All checks are in memcore/ops.
#include <pybind11/pybind11.h>

#include "bind.h"
#include "memcore/tables.h"

namespace py = pybind11;
using namespace memcore;

namespace {

void sensed_sums(Address bits, Address cells, Address reads, int64_t key, Address threshold, Address other, int64_t n,
                 int64_t groups, int64_t units, int64_t rows, int64_t cols, int64_t lines, int64_t sensed,
                 Address out) {
  cpu::sensed_sums({at<const uint8_t>(bits), at<const uint8_t>(cells), at<const int64_t>(reads),
                    static_cast<uint64_t>(key), at<const float>(threshold), at<const float>(other), n, groups, units,
                    rows, cols, lines, sensed, at<float>(out)});
}

void codebook_product(Address x, Address codes, Address book, Address bias, int64_t n, int64_t rows, int64_t cols,
                      int64_t bits, Address out) {
  cpu::codebook_product({at<const float>(x), at<const uint8_t>(codes), at<const float>(book), at<const float>(bias), n,
                         rows, cols, bits, at<float>(out)});
}

double weighted_squares(Address x, Address weights, int64_t n, int64_t size, float inverse, float lo, float hi) {
  return cpu::weighted_squares({at<const float>(x), at<const float>(weights), n, size, inverse, lo, hi});
}

}  // namespace

void bind_tables(py::module_& m);  // called by bind_cpu.cpp

void bind_tables(py::module_& m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m.def("sensed_sums", &sensed_sums, NoGil());
  m.def("codebook_product", &codebook_product, NoGil());
  m.def("weighted_squares", &weighted_squares, NoGil());
}
