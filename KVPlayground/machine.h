// What a report's numbers were measured on.
#ifndef KVPLAYGROUND_MACHINE_H_
#define KVPLAYGROUND_MACHINE_H_

#include <string>
#include <utility>
#include <vector>

namespace kvstore::playground {

// Names and values, as far as the system tells.
std::vector<std::pair<std::string, std::string>> DescribeMachine();

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_MACHINE_H_
