// The bits of the lines of pulse trains, which two kernels count.
#pragma once

#include "check.h"
#include "memcore/pulses.h"

namespace memcore::cuda {

// Draws the bits of both sides into `words`.
void fire_lines(const Launcher& launcher, const Coincidences& trains, const TrainWords& words);

}  // namespace memcore::cuda
