// How the CUDA module was built.
#pragma once

#include <string>

namespace memcore::cuda {

// The toolkit and the compute capabilities that machine code was compiled for: "CUDA 13.0
// for 8.0 9.0 12.0".
std::string build();

}  // namespace memcore::cuda
