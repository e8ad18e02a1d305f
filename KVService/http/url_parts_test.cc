#include "KVService/http/url_parts.h"

#include <gtest/gtest.h>

namespace kvstore::http {
namespace {

TEST(HostOfTest, IsWhatTheConnectionGoesTo) {
  EXPECT_EQ(HostOf("https://account.blob.example:8080/c/b?x=1"), "account.blob.example");
  EXPECT_EQ(HostOf("http://user:p@10.0.0.1/"), "10.0.0.1");
  EXPECT_EQ(HostOf("http://[fd00::1]:80/x:y@z"), "fd00::1");
  EXPECT_EQ(HostOf("proxy:3128"), "proxy");
  EXPECT_EQ(HostOf("http://host?at=@x"), "host");
  for (const char* odd : {"", "://", "http://[", "["}) EXPECT_EQ(HostOf(odd), "") << odd;
}

TEST(EndpointOfTest, IsAllBeforeThePath) {
  EXPECT_EQ(EndpointOf("https://host:8080/c/b?x=1"), "https://host:8080");
  EXPECT_EQ(EndpointOf("http://host?x=/"), "http://host");
  EXPECT_EQ(EndpointOf("http://[fd00::1]:80"), "http://[fd00::1]:80");
}

TEST(PortOfTest, IsTheSchemesOwnWhereNoneIsGiven) {
  EXPECT_EQ(PortOf("http://host:8080/c:9?x=1"), 8080);
  EXPECT_EQ(PortOf("http://[fd00::1]:81/"), 81);
  EXPECT_EQ(PortOf("http://[fd00::1]/"), 80);
  EXPECT_EQ(PortOf("https://user:p@host/a:b"), 443);
  for (const char* odd : {"http://host:", "http://host:x", "http://host:65536", "http://host:1x"}) {
    EXPECT_EQ(PortOf(odd), 0) << odd;
  }
}

}  // namespace
}  // namespace kvstore::http
