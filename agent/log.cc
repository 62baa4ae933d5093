// agent/log.cc: spdlog's standard error sinks, and a formatter for JSON.
#include "agent/log.h"

#include <fmt/chrono.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <nlohmann/json.hpp>

namespace partywall {
namespace {

class JsonFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    using std::chrono::microseconds;
    auto since = std::chrono::duration_cast<microseconds>(message.time.time_since_epoch());
    nlohmann::ordered_json line = {
        {"time", fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                             fmt::gmtime(std::chrono::system_clock::to_time_t(message.time)),
                             since.count() % 1'000'000)},
        {"level", std::string_view(spdlog::level::to_string_view(message.level).data(),
                                   spdlog::level::to_string_view(message.level).size())},
        {"message", std::string_view(message.payload.data(), message.payload.size())}};
    std::string text =
        line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";

    out.append(text.data(), text.data() + text.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

}  // namespace

void set_up_log(const std::string& format, const std::string& level) {
  auto logger = spdlog::stderr_color_st("partywalld");

  if (format == "json")
    logger->set_formatter(std::make_unique<JsonFormatter>());
  else
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  logger->set_level(level == "warn"    ? spdlog::level::warn
                    : level == "error" ? spdlog::level::err
                    : level == "debug" ? spdlog::level::debug
                                       : spdlog::level::info);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace partywall
