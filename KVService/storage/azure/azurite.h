// Azurite, Microsoft's emulator, started by a test on a free port and ended with it.
#ifndef KVSERVICE_STORAGE_AZURE_AZURITE_H_
#define KVSERVICE_STORAGE_AZURE_AZURITE_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "KVService/platform/temp_dir.h"
#include "KVService/storage/azure/credential.h"

namespace kvstore::testing {

inline constexpr char kAzuriteAccount[] = "devstoreaccount1";
inline constexpr char kAzuriteKey[] =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

// Keeps blobs in memory. Installed by scripts/init/install_azurite.sh where it is not there yet.
class Azurite {
 public:
  enum class Protocol { kHttp, kHttps };

  // A test failure, and an empty endpoint(), if it does not start. `more` are arguments of its own.
  explicit Azurite(Protocol protocol, const std::vector<std::string>& more = {});
  ~Azurite();
  Azurite(const Azurite&) = delete;
  Azurite& operator=(const Azurite&) = delete;

  const std::string& endpoint() const { return endpoint_; }  // with the account
  const std::string& ca_file() const { return ca_file_; }    // of its own certificate; HTTPS only
  static std::shared_ptr<azure::Credential> SharedKey();

  // One for all tests of the program, since it takes seconds to start.
  static Azurite& Http();
  static Azurite& Https();
  // It takes tokens, over HTTPS, whose issuer, audience and times are right, and does not look at
  // who signed them.
  static Azurite& WithTokens();

 private:
  TempDir directory_;
  pid_t process_ = -1;
  std::string endpoint_;
  std::string ca_file_;
};

}  // namespace kvstore::testing

#endif  // KVSERVICE_STORAGE_AZURE_AZURITE_H_
