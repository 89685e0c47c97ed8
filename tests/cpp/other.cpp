// The second file of the program that includes both headers: what they define must not clash at link time.
#include "bie.h"
#include "bie.hpp"
#include "bie.hpp"

std::size_t mentions_elsewhere(const bie::Result &result);
std::size_t mentions_elsewhere(const bie::Result &result) { return result.mentions().size(); }
