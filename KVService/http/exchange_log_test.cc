#include "KVService/http/exchange_log.h"

#include <gtest/gtest.h>

namespace kvstore::http {
namespace {

TEST(ExchangeLogTest, ShowsOnlyHarmlessQueryValues) {
  EXPECT_EQ(RedactUrl("https://a.example/c/b?comp=list&sig=SECRET%3D&sv=2021-08-06&se=SECRET&x"),
            "https://a.example/c/b?comp=list&sig=REDACTED&sv=2021-08-06&se=REDACTED&REDACTED");
  EXPECT_EQ(RedactUrl("https://a.example/c?SIG=SECRET"), "https://a.example/c?SIG=REDACTED");
  EXPECT_EQ(RedactUrl("https://a.example/c"), "https://a.example/c");
  EXPECT_EQ(RedactUrl("https://a.example/c?"), "https://a.example/c");
}

TEST(ExchangeLogTest, DropsUserAndPassword) {
  EXPECT_EQ(RedactUrl("https://me:SECRET@a.example/c"), "https://a.example/c");
  EXPECT_EQ(WithoutQuery("https://me:SECRET@a.example:1/c@d?q"), "https://a.example:1/c@d");
}

TEST(ExchangeLogTest, ShowsOnlyAllowListedHeaders) {
  HttpRequest request;
  request.method = HttpMethod::kPut;
  request.url = "https://a.example/c/b?sig=SECRET";
  request.headers = {{"Authorization", "SharedKey acct:SECRET"},
                     {"x-ms-date", "today"},
                     {"X-IDENTITY-HEADER", "SECRET"},
                     {"x-ms-copy-source", "https://a?sig=SECRET"},
                     {"x-ms-meta-kv", "SECRET"}};
  request.body = {Slice::CopyOf(AsBytes("SECRET"))};
  HttpResponse response;
  response.status = 201;
  response.headers = {{"ETag", "0x1"}, {"Set-Cookie", "SECRET"}, {"x-odd\r\n", "SECRET"}};
  response.body = Slice::CopyOf(AsBytes("{\"access_token\":\"SECRET\"}"));
  const std::string line = DescribeExchange(request, response, absl::Milliseconds(12));
  EXPECT_EQ(line.find("SECRET"), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  for (const char* shown : {"PUT", "x-ms-date: today", "Authorization: REDACTED", "body=6", "201",
                            "ETag: 0x1", "12.0 ms"}) {
    EXPECT_NE(line.find(shown), std::string::npos) << shown << " in " << line;
  }
}

TEST(ExchangeLogTest, NamesTheTransportsError) {
  HttpRequest request;
  request.url = "http://a.example/?sig=SECRET";
  const std::string line =
      DescribeExchange(request, absl::UnavailableError("reset by peer"), absl::Seconds(1));
  EXPECT_NE(line.find("UNAVAILABLE: reset by peer"), std::string::npos) << line;
  EXPECT_EQ(line.find("SECRET"), std::string::npos) << line;
}

}  // namespace
}  // namespace kvstore::http
