// Which kernels this build holds and this machine can run.
#pragma once

#include <string>
#include <vector>

#include "kernel.h"

namespace visavis {

// Best first. Asks the operating system for permission to use AMX tiles the first time that it finds them.
std::vector<const Kernel*> available_kernels();

// Their names, best first, separated by blanks.
std::string isa_names();

// The one called `name`, or the best for "auto"; throws std::invalid_argument with those that there are.
const Kernel& kernel_named(const std::string& name);

}  // namespace visavis
