// Completion scripts for shells, made of the command line that the program takes.
#ifndef KVCLIENT_KVCTL_COMPLETION_H_
#define KVCLIENT_KVCTL_COMPLETION_H_

#include <CLI/CLI.hpp>
#include <string>

namespace kvstore::kvctl {

std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);

}  // namespace kvstore::kvctl

#endif  // KVCLIENT_KVCTL_COMPLETION_H_
