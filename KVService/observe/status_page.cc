#include "KVService/observe/status_page.h"

#include <span>
#include <string_view>

#include "KVCommon/digest.h"
#include "KVService/observe/status_page_parts.h"
#include "absl/strings/escaping.h"

namespace kvstore {

namespace {

std::string SourceHash(std::string_view text) {
  const Digest digest = Sha256(std::as_bytes(std::span(text)));
  return absl::StrCat(
      "'sha256-", absl::Base64Escape({reinterpret_cast<const char*>(digest.data()), digest.size()}),
      "'");
}

}  // namespace

const StatusPage& TheStatusPage() {
  static const StatusPage& page = *new StatusPage{
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      // An icon of nothing: browsers would ask for one.
      "<link rel=\"icon\" href=\"data:,\">\n<title>KVStore status</title>\n<style>" +
          std::string(kStatusStyle) + "</style></head><body>\n" + std::string(kStatusBody) +
          "<script>" + std::string(kStatusScript) + "</script></body></html>\n",
      "default-src 'none'; style-src " + SourceHash(kStatusStyle) + "; script-src " +
          SourceHash(kStatusScript) +
          "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
          "frame-ancestors 'none'"};
  return page;
}

}  // namespace kvstore
