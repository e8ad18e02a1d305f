#include "KVService/accounts/environment.h"

#include <cstdlib>

namespace kvstore {

Environment ProcessEnvironment() {
  return [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
}

}  // namespace kvstore
