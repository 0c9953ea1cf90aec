// What the CUDA module uses of the runtime, for processors: see cuda_runtime.h.
#pragma once

#define CUDART_VERSION 13000
