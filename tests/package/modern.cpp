#include "kvstore/client.h"

bool ModernClientRefusesNoContainer() {
  return !kvstore::Client::Create({.resource = "account"}).ok();
}
