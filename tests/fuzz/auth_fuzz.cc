// The auth file, and what is asked of it.
#include "KVCommon/status_macros.h"
#include "KVService/auth/auth_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto parsed = kvstore::ParseAuth(text);
  if (!parsed.ok()) {
    KV_CHECK(!parsed.status().message().empty());
    return 0;
  }
  KV_CHECK(parsed->size() <= kvstore::kMaxIdentities);
  const kvstore::Identities identities(*std::move(parsed));
  const kvstore::Container container{"acct", "box"};
  for (const kvstore::Identity& identity : identities.all()) {
    KV_CHECK(!identity.name.empty());
    KV_CHECK(!identity.tokens.empty() || !identity.certificate_names.empty());
    for (const std::string& name : identity.certificate_names) {
      KV_CHECK(identities.ByCertificateName(name) == &identity);
    }
    // What the name may, the digest may not contradict.
    if (identity.May(kvstore::Right::kRead, container, "p")) {
      KV_CHECK(identity.MaySomewhere(kvstore::Right::kRead, container));
      KV_CHECK(identity.MayRead(container, kvstore::DigestPartition("p")) !=
               kvstore::DigestVerdict::kNo);
    }
  }
  KV_CHECK(identities.ByToken(text) == nullptr);
  return 0;
}
