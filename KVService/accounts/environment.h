// Environment variables as a function, so that tests need not change the process's own.
#ifndef KVSERVICE_ACCOUNTS_ENVIRONMENT_H_
#define KVSERVICE_ACCOUNTS_ENVIRONMENT_H_

#include <functional>
#include <string>

namespace kvstore {

// A variable's value; empty where it is unset, which means the same here as to be empty.
// Thread-safe.
using Environment = std::function<std::string(const char* name)>;

Environment ProcessEnvironment();

}  // namespace kvstore

#endif  // KVSERVICE_ACCOUNTS_ENVIRONMENT_H_
