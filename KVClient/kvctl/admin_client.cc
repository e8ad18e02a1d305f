#include "KVClient/kvctl/admin_client.h"

#include <grpcpp/create_channel.h>

#include <utility>

#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"

namespace kvstore::kvctl {

absl::StatusOr<std::unique_ptr<AdminClient>> AdminClient::Open(const ConnectOptions& options) {
  std::unique_ptr<AdminClient> client(new AdminClient);
  client->server_ = options.server;
  client->timeout_ = options.timeout;
  client::ChannelSecurity security;
  if (!options.server.starts_with("unix:")) {
    KV_ASSIGN_OR_RETURN(security, client::OpenChannelSecurity(options.tls));
    ClientOptions token;
    token.token_file = options.token_file;
    KV_ASSIGN_OR_RETURN(client->token_, client::TokenSource::Open(token));
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAdminMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxAdminMessageBytes);
  security.AddTo(&arguments);
  client->stub_ = admin::KVStoreAdmin::NewStub(
      grpc::CreateCustomChannel(options.server, security.Credentials(), arguments));
  return client;
}

void AdminClient::Prepare(grpc::ClientContext* context,
                          std::optional<std::chrono::seconds> timeout) {
  if (timeout) context->set_deadline(std::chrono::system_clock::now() + *timeout);
  if (token_ != nullptr) token_->AddTo(context);
}

absl::Status AdminClient::Understood(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  std::string message = status.error_message();
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      message += ": does a server listen for administrators (--admin) at " + server_ + "?";
      break;
    case grpc::StatusCode::UNAUTHENTICATED:
      message += ": give a token that its --admin-auth knows, with --token-file";
      break;
    case grpc::StatusCode::UNIMPLEMENTED:
      message += ": " + server_ + " is no address of --admin, or the server's release is another";
      break;
    default:
      break;
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), message);
}

}  // namespace kvstore::kvctl
