// memcore._cuda: addresses, sizes, a device index and a stream in, nothing out. All checks are in
// memcore/ops. Links no driver: importing works without one, and the first call then raises
// RuntimeError.
#include <pybind11/pybind11.h>

#include "cuda/build.h"
#include "memcore/kernels.h"

namespace py = pybind11;
using namespace memcore;

namespace {

using Address = std::uintptr_t;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

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
  m.def("build", &cuda::build, "CUDA toolkit and compute capabilities that the kernels were compiled with");
}
