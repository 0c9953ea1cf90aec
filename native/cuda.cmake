# _cuda: built where a CUDA compiler works. A module of its own, so that nothing here can take the CPU kernels away.
if(MEMCORE_CUDA STREQUAL "OFF")
  message(STATUS "memcore._cuda: not built (MEMCORE_CUDA=OFF)")
  return()
endif()

include(CheckLanguage)
check_language(CUDA)  # tries a real configure: a broken nvcc means "no", not an error
if(NOT CMAKE_CUDA_COMPILER)
  if(MEMCORE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MEMCORE_CUDA=ON, but no CUDA compiler was found. Set CUDACXX to the path of nvcc, "
                        "or build with MEMCORE_CUDA=OFF.")
  endif()
  message(STATUS "memcore._cuda: not built (no CUDA compiler found; set CUDACXX to the path of nvcc)")
  return()
endif()

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  # What is compiled for 8.0 runs on 8.6 and 8.9 too; the last one has PTX.
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 90-real 100-real 120)
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
enable_language(CUDA)

file(GLOB MEMCORE_CUDA_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/cuda/*.cu)
if(NOT MEMCORE_CUDA_SOURCES OR NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/src/bind_cuda.cpp)
  message(FATAL_ERROR "The CUDA sources are missing from native/src. Build with MEMCORE_CUDA=OFF.")
endif()
pybind11_add_module(_cuda MODULE NO_EXTRAS src/bind_cuda.cpp ${MEMCORE_CUDA_SOURCES})
target_include_directories(_cuda PRIVATE include)
target_compile_options(_cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${MEMCORE_WARNINGS}>)
set_target_properties(_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden
                                       CUDA_SEPARABLE_COMPILATION OFF)
install(TARGETS _cuda DESTINATION memcore)
