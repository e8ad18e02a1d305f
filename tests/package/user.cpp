// Links the compatible class as an existing caller would, with no server there.
#include <cstdlib>

#include "AzureStorageKVStoreLibV2.h"

bool ModernClientRefusesNoContainer();

int main() {
  AzureStorageKVStoreLibV2 store;
  store.SetLogCallback([](LogLevel, const std::string&) {});
  const bool refused = !store.Initialize("account", "");
  return refused && ModernClientRefusesNoContainer() ? EXIT_SUCCESS : EXIT_FAILURE;
}
