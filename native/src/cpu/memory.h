// Memory that is released at the end of a block.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "isa.h"

namespace memcore {
namespace {

template <class T>
T* allocate_numbers(int64_t count) {
  return reinterpret_cast<T*>(allocate((count * static_cast<int64_t>(sizeof(T)) + 3) / 4));
}

template <class T>
struct Memory {
  T* data;
  explicit Memory(int64_t count) : data(allocate_numbers<T>(count)) {}
  ~Memory() { release(reinterpret_cast<float*>(data)); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
};

}  // namespace
}  // namespace memcore
