#include <dlfcn.h>

#include "KVService/platform/shared_library.h"

namespace kvstore {

absl::Status LoadSharedLibrary(const char* name) {
  if (::dlopen(name, RTLD_NOW | RTLD_GLOBAL) != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(::dlerror());
}

}  // namespace kvstore
