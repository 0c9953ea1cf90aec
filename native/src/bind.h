// What the bindings share: addresses and sizes come as integers.
#pragma once

#include <cstdint>

namespace memcore {

using Address = std::uintptr_t;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

}  // namespace memcore
