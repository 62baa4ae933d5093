// agent/source/kubernetes/api_client.cc: sets libcurl's handles up and sorts out how they end.
#include "agent/source/kubernetes/api_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "agent/source/kubernetes/curl_loop.h"
#include "agent/source/kubernetes/kept_file.h"
#include "agent/source/kubernetes/timer.h"
#include "agent/version.h"

namespace partywall::kubernetes {
namespace {

using Clock = std::chrono::steady_clock;
using Failure = ApiReply::Failure;

constexpr size_t kMaxErrorBodyBytes = 64 << 10;
constexpr size_t kMaxSentenceBytes = 400;
constexpr auto kTokenAge = std::chrono::minutes(1);
constexpr long kConnectMs = 10'000;
constexpr int kUnansweredMs = 30'000;  // bytes that the other side does not acknowledge

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

// One line, of a length that a log can take.
std::string one_line(std::string_view text) {
  std::string line;

  for (char one : text.substr(0, kMaxSentenceBytes))
    line += static_cast<unsigned char>(one) < ' ' || one == 0x7f ? ' ' : one;
  if (text.size() > kMaxSentenceBytes) line += "...";
  return line;
}

std::string without(std::string text, const std::string& secret) {
  if (secret.empty()) return text;
  for (size_t at; (at = text.find(secret)) != std::string::npos;)
    text.replace(at, secret.size(), "[token]");
  return text;
}

Failure failure_of(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return Failure::kTimeout;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return Failure::kTls;
    default:
      return Failure::kConnection;
  }
}

// Data that was given, or the file's text as it is now.
class Material {
 public:
  Material(std::string data, const std::string& file, std::chrono::seconds max_age)
      : data_(std::move(data)) {
    if (data_.empty() && !file.empty()) file_.emplace(file, max_age);
  }

  // Empty when there is neither.
  Result<std::string> text() { return file_ ? file_->text() : Result<std::string>(data_); }
  void forget_time() {
    if (file_) file_->forget_time();
  }

 private:
  std::string data_;
  std::optional<KeptFile> file_;
};

struct Credentials {
  std::string ca;
  std::string token;
  std::string cert;
  std::string key;
};

struct Transfer {
  uint64_t id = 0;
  ApiRequest request;
  std::optional<ApiStream> stream;
  ApiClient::OnDone on_done;
  std::string token;
  std::shared_ptr<CurlLoop> loop;  // null when it could not be started
  std::unique_ptr<CURL, FreeEasy> easy;
  std::unique_ptr<curl_slist, FreeList> headers;
  std::unique_ptr<curl_slist, FreeList> connect_to;
  std::unique_ptr<Timer> limit;
  char words[CURL_ERROR_SIZE] = "";
  Clock::time_point last_byte = Clock::now();
  std::string chunk;  // came, and was not handed on
  bool opened = false;
  bool told_open = false;
  bool overflowed = false;
  bool ended = false;
  ApiReply reply;

  void hear() {
    last_byte = Clock::now();
    if (loop) loop->heard_at = last_byte;
  }
  long status() const {
    long code = 0;

    if (easy) curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &code);
    return code;
  }
  std::string what() const {
    return fmt::format("{} {}", request.method, request.path.substr(0, request.path.find('?')));
  }
  void fail_with(Failure failure, std::string_view why) {
    if (ended) return;
    ended = true;
    reply.status = static_cast<int>(status());
    reply.failure = failure;
    reply.error = without(one_line(fmt::format("{}: {}", what(), why)), token);
  }
  std::chrono::milliseconds patience() const {
    return stream && opened ? stream->idle_limit : request.deadline;
  }
  std::string out_of_patience() const {
    double seconds = std::chrono::duration<double>(patience()).count();

    return stream && opened ? fmt::format("no byte for {:g} seconds", seconds)
                            : fmt::format("no answer within {:g} seconds", seconds);
  }
};

}  // namespace

std::string ApiReply::problem() const {
  if (failure != Failure::kNone) return error;

  nlohmann::json said = nlohmann::json::parse(body, nullptr, false);
  std::string message;

  if (said.is_object() && said.contains("message") && said["message"].is_string())
    message = said["message"].get_ref<const std::string&>();
  else
    message = body;
  return message.empty() ? fmt::format("HTTP {}", status)
                         : one_line(fmt::format("HTTP {}: {}", status, message));
}

std::string_view kind_of(const ApiReply& reply) {
  switch (reply.failure) {
    case ApiReply::Failure::kConnection:
      return "connection";
    case ApiReply::Failure::kTimeout:
      return "timeout";
    case ApiReply::Failure::kTooLarge:
      return "too_large";
    case ApiReply::Failure::kTls:
      return "tls";
    case ApiReply::Failure::kCredentials:
      return "credentials";
    case ApiReply::Failure::kNone:
      break;
  }
  if (reply.status == 401 || reply.status == 403) return "forbidden";
  if (reply.status == 410) return "expired";
  return reply.status == 429 ? "throttled" : "status";
}

// What is under way. Works the calls off outside of libcurl's callbacks, so that handlers may
// begin and end any of them.
class ApiClient::Room {
 public:
  Room(observe::Loop& loop, ApiAccess access)
      : loop_(loop),
        access_(std::move(access)),
        ca_(access_.ca_data, access_.ca_file, std::chrono::hours(1)),
        token_(access_.token, access_.token_file, kTokenAge),
        cert_(access_.client_cert_data, access_.client_cert_file, std::chrono::hours(1)),
        key_(access_.client_key_data, access_.client_key_file, std::chrono::hours(1)),
        later_(loop.base(), [this] { settle(); }) {}
  ~Room() {
    for (auto& [id, transfer] : transfers_)
      if (transfer->loop) transfer->loop->remove(transfer->easy.get());
  }

  Result<Credentials> credentials();
  uint64_t start(ApiRequest request, std::optional<ApiStream> stream, OnDone on_done);
  void end(uint64_t id);
  bool is_open(uint64_t id) const { return transfers_.count(id) != 0; }

  Facts facts_;
  const ApiAccess& access() const { return access_; }

 private:
  using Shared = std::shared_ptr<Transfer>;

  Result<void> prepare(Transfer& transfer);
  void set_tls(Transfer& transfer, const Credentials& shown);
  void set_server(Transfer& transfer);
  void worked(const std::vector<CurlLoop::Ended>& ended);
  void conclude(Transfer& transfer, CURLcode code);
  void expire(uint64_t id);
  void settle();
  bool hand_on(const Shared& transfer);
  void ready(const Transfer& transfer) { ready_.push_back(transfer.id); }

  static size_t on_body(char* bytes, size_t one, size_t count, void* context);
  static size_t on_head(char* bytes, size_t one, size_t count, void* context);
  static int on_socket_made(void*, curl_socket_t socket, curlsocktype);

  observe::Loop& loop_;
  ApiAccess access_;
  Material ca_;
  Material token_;
  Material cert_;
  Material key_;
  std::shared_ptr<CurlLoop> current_;  // null: the next call makes a new one
  std::map<uint64_t, Shared> transfers_;
  std::vector<uint64_t> ready_;  // something came for them
  Timer later_;
  uint64_t last_id_ = 0;
};

Result<Credentials> ApiClient::Room::credentials() {
  Credentials shown;
  auto ca = ca_.text();
  auto token = token_.text();
  auto cert = cert_.text();
  auto key = key_.text();

  for (auto* text : {&ca, &token, &cert, &key})
    if (!*text) return std::move(text->error());

  size_t begin = token->find_first_not_of(" \t\r\n");
  size_t end = token->find_last_not_of(" \t\r\n");

  if (begin != std::string::npos) shown.token = token->substr(begin, end - begin + 1);
  if (!std::all_of(shown.token.begin(), shown.token.end(),
                   [](unsigned char one) { return one > ' ' && one < 0x7f; }))
    return fail("the token{}{} has characters that no token has",
                access_.token_file.empty() ? "" : " in ", access_.token_file);
  shown.ca = std::move(*ca);
  shown.cert = std::move(*cert);
  shown.key = std::move(*key);
  return shown;
}

size_t ApiClient::Room::on_body(char* bytes, size_t one, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  size_t size = one * count;

  transfer.hear();
  if (transfer.stream && transfer.opened) {
    transfer.chunk.append(bytes, size);
    return size;
  }

  size_t most = transfer.stream || transfer.status() / 100 != 2
                    ? std::min(kMaxErrorBodyBytes, transfer.request.max_reply_bytes)
                    : transfer.request.max_reply_bytes;

  if (transfer.reply.body.size() + size > most) {
    transfer.overflowed = true;
    return 0;
  }
  transfer.reply.body.append(bytes, size);
  return size;
}

size_t ApiClient::Room::on_head(char* bytes, size_t one, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  std::string_view line(bytes, one * count);

  transfer.hear();
  if (line == "\r\n" && transfer.status() / 100 == 2) transfer.opened = true;
  return line.size();
}

int ApiClient::Room::on_socket_made(void*, curl_socket_t socket, curlsocktype) {
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnansweredMs, sizeof(kUnansweredMs));
  return CURL_SOCKOPT_OK;
}

void ApiClient::Room::set_tls(Transfer& transfer, const Credentials& shown) {
  CURL* easy = transfer.easy.get();
  auto set_blob = [easy](CURLoption option, const std::string& text) {
    curl_blob blob{const_cast<char*>(text.data()), text.size(), CURL_BLOB_COPY};

    if (!text.empty()) curl_easy_setopt(easy, option, &blob);
  };

  curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, access_.insecure_skip_verify ? 0L : 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, access_.insecure_skip_verify ? 0L : 2L);
  if (!shown.ca.empty()) {
    // The system's authorities have no say where the cluster has its own.
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
    curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
    set_blob(CURLOPT_CAINFO_BLOB, shown.ca);
  }
  set_blob(CURLOPT_SSLCERT_BLOB, shown.cert);
  set_blob(CURLOPT_SSLKEY_BLOB, shown.key);
}

// The certificate is asked for the name in the URL, so a name of its own goes there.
void ApiClient::Room::set_server(Transfer& transfer) {
  std::string url = access_.server;

  if (!access_.tls_server_name.empty()) {
    size_t host = url.find("//") + 2;
    size_t end = std::min(url.find('/', host), url.size());
    std::string place = url.substr(host, end - host);
    size_t colon = place.rfind(':');
    bool has_port = colon != std::string::npos && place.find(']', colon) == std::string::npos;
    std::string port = has_port ? place.substr(colon + 1) : "443";

    if (!has_port) place += ":443";
    url.replace(host, end - host, fmt::format("{}:{}", access_.tls_server_name, port));
    transfer.connect_to.reset(curl_slist_append(
        nullptr, fmt::format("{}:{}:{}", access_.tls_server_name, port, place).c_str()));
    curl_easy_setopt(transfer.easy.get(), CURLOPT_CONNECT_TO, transfer.connect_to.get());
  }
  curl_easy_setopt(transfer.easy.get(), CURLOPT_URL, (url + transfer.request.path).c_str());
}

Result<void> ApiClient::Room::prepare(Transfer& transfer) {
  auto shown = credentials();

  if (!shown) return std::move(shown.error());
  if (!transfer.request.path.starts_with('/')) return fail("the path does not begin with /");
  transfer.token = shown->token;
  transfer.easy.reset(curl_easy_init());

  CURL* easy = transfer.easy.get();
  std::vector<std::string> lines{"Accept: " + transfer.request.accept, "Expect:"};
  curl_slist* list = nullptr;

  if (!easy) return fail("no memory");
  if (!shown->token.empty()) lines.push_back("Authorization: Bearer " + shown->token);
  if (!transfer.request.content_type.empty())
    lines.push_back("Content-Type: " + transfer.request.content_type);
  for (const std::string& line : lines) list = curl_slist_append(list, line.c_str());
  transfer.headers.reset(list);

  set_server(transfer);
  set_tls(transfer, *shown);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, fmt::format("partywalld/{}", kVersion).c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectMs);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 15L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.words);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  if (transfer.request.method != "GET") {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(transfer.request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer.request.body.c_str());
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, transfer.request.method.c_str());
  }

  if (!current_)
    current_ = CurlLoop::make(loop_.base(), [this](const auto& ended) { worked(ended); });
  if (CURLMcode code = current_->add(easy); code != CURLM_OK)
    return fail("{}", curl_multi_strerror(code));
  transfer.loop = current_;
  return {};
}

uint64_t ApiClient::Room::start(ApiRequest request, std::optional<ApiStream> stream,
                                OnDone on_done) {
  auto transfer = std::make_shared<Transfer>();
  uint64_t id = ++last_id_;

  transfer->id = id;
  transfer->request = std::move(request);
  transfer->stream = std::move(stream);
  transfer->on_done = std::move(on_done);
  transfer->limit = std::make_unique<Timer>(loop_.base(), [this, id] { expire(id); });
  ++facts_.requests;
  if (auto good = prepare(*transfer); !good) {
    transfer->fail_with(Failure::kCredentials, good.error().message());
    ready(*transfer);
    later_.after({});
  } else {
    transfer->limit->after(transfer->request.deadline);
  }
  transfers_[id] = std::move(transfer);
  return id;
}

void ApiClient::Room::end(uint64_t id) {
  auto found = transfers_.find(id);

  if (found == transfers_.end()) return;

  Shared transfer = std::move(found->second);

  transfers_.erase(found);
  transfer->limit->cancel();
  if (transfer->loop) transfer->loop->remove(transfer->easy.get());
  transfer->loop.reset();
}

void ApiClient::Room::worked(const std::vector<CurlLoop::Ended>& ended) {
  for (const CurlLoop::Ended& one : ended) {
    Transfer* transfer = nullptr;

    curl_easy_getinfo(one.easy, CURLINFO_PRIVATE, &transfer);
    conclude(*transfer, one.code);
    ready(*transfer);
  }
  for (const auto& [id, transfer] : transfers_)
    if (!transfer->chunk.empty() || transfer->opened != transfer->told_open) ready(*transfer);
  settle();
}

void ApiClient::Room::conclude(Transfer& transfer, CURLcode code) {
  curl_off_t seconds = 0;

  curl_easy_getinfo(transfer.easy.get(), CURLINFO_RETRY_AFTER, &seconds);
  if (seconds > 0) transfer.reply.retry_after = std::chrono::seconds(seconds);
  if (transfer.overflowed) {
    transfer.fail_with(Failure::kTooLarge,
                       fmt::format("the reply is larger than {} bytes",
                                   transfer.stream || transfer.status() / 100 != 2
                                       ? kMaxErrorBodyBytes
                                       : transfer.request.max_reply_bytes));
  } else if (code != CURLE_OK) {
    transfer.fail_with(failure_of(code),
                       *transfer.words ? transfer.words : curl_easy_strerror(code));
  } else if (!transfer.ended) {
    transfer.ended = true;
    transfer.reply.status = static_cast<int>(transfer.status());
    transfer.reply.body = without(std::move(transfer.reply.body), transfer.token);
  }
  if (transfer.reply.status == 401) token_.forget_time();
}

// Whoever answers nothing on a connection may never do so again: that connection gets no
// further calls, and those that have heard nothing on it in the meantime end, too.
void ApiClient::Room::expire(uint64_t id) {
  auto found = transfers_.find(id);

  if (found == transfers_.end()) return;

  Transfer& late = *found->second;
  Clock::duration quiet = Clock::now() - late.last_byte;

  if (late.stream && late.opened && quiet < late.patience()) {
    late.limit->after(
        std::chrono::duration_cast<std::chrono::milliseconds>(late.patience() - quiet) +
        std::chrono::milliseconds(1));
    return;
  }
  late.fail_with(Failure::kTimeout, late.out_of_patience());
  ready(late);

  for (const auto& [other_id, other] : transfers_) {
    if (other->loop != late.loop || other->ended || late.loop->heard_at > late.last_byte)
      continue;
    other->fail_with(Failure::kTimeout, "the connection is silent");
    ready(*other);
  }
  if (current_ == late.loop) current_.reset();
  settle();
}

void ApiClient::Room::settle() {
  while (!ready_.empty()) {
    std::vector<uint64_t> now;

    now.swap(ready_);
    for (uint64_t id : now) {
      auto found = transfers_.find(id);

      if (found == transfers_.end()) continue;

      Shared transfer = found->second;

      if (!hand_on(transfer) || !transfer->ended) continue;

      // Over: a handler that asks again finds nothing of it any more.
      OnDone on_done = std::move(transfer->on_done);
      long made = 0;

      if (transfer->easy) curl_easy_getinfo(transfer->easy.get(), CURLINFO_NUM_CONNECTS, &made);
      facts_.connections += static_cast<uint64_t>(made);
      facts_.bytes_received += transfer->reply.body.size();
      if (transfer->reply.failure != Failure::kNone) ++facts_.failures;
      end(id);
      on_done(std::move(transfer->reply));
    }
  }
}

// What came, to the stream's handlers. Whether the call is still wanted after that.
bool ApiClient::Room::hand_on(const Shared& transfer) {
  if (!transfer->stream) return true;
  if (transfer->opened && !transfer->told_open) {
    transfer->told_open = true;
    if (!transfer->ended) transfer->limit->after(transfer->patience());
    if (transfer->stream->on_open) transfer->stream->on_open();
    if (!is_open(transfer->id)) return false;
  }
  if (!transfer->chunk.empty()) {
    std::string chunk = std::move(transfer->chunk);

    transfer->chunk.clear();
    facts_.bytes_received += chunk.size();
    if (transfer->stream->on_chunk) transfer->stream->on_chunk(chunk);
  }
  return is_open(transfer->id);
}

void ApiCall::end() {
  if (ApiClient* client = std::exchange(client_, nullptr)) client->room_->end(id_);
}

bool ApiCall::is_open() const { return client_ && client_->room_->is_open(id_); }

Result<std::unique_ptr<ApiClient>> ApiClient::make(observe::Loop& loop, ApiAccess access) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);

  if (started != CURLE_OK) return fail("start libcurl: {}", curl_easy_strerror(started));

  std::unique_ptr<ApiClient> client(new ApiClient(loop));

  client->room_ = std::make_unique<Room>(loop, std::move(access));
  if (auto shown = client->room_->credentials(); !shown)
    return std::move(shown.error()).within("access to the API server");
  return client;
}

ApiClient::ApiClient(observe::Loop& loop) : loop_(loop) {}
ApiClient::~ApiClient() = default;

ApiCall ApiClient::request(ApiRequest request, OnDone on_done) {
  return ApiCall(this, room_->start(std::move(request), {}, std::move(on_done)));
}

ApiCall ApiClient::stream(ApiRequest request, ApiStream stream, OnDone on_end) {
  return ApiCall(this, room_->start(std::move(request), std::move(stream), std::move(on_end)));
}

const ApiClient::Facts& ApiClient::facts() const { return room_->facts_; }
const ApiAccess& ApiClient::access() const { return room_->access(); }

}  // namespace partywall::kubernetes
